// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem
internal import Dispatch

/// Sends bytes that follow from a seed, in pieces of random sizes, on a thread of its own, and then
/// the end of the stream.
package final class RandomSender: Sendable {
  private let done = DispatchSemaphore(value: 0)

  /// Starts.
  /// - Parameter observe: called with all bytes, in order, on the sender's thread.
  package init(
    _ socket: SharedTCPSocket, byteCount: Int, seed: UInt64,
    observe: @escaping @Sendable (UnsafeRawBufferPointer) -> Void
  ) {
    let worker = Worker()
    worker.start { [done] in
      unsafe Self.send(socket, byteCount, seed, observe)
      done.signal()
    }
    worker.stop()
  }

  /// Waits until all is sent, or the peer takes no more. Once.
  package func wait() { done.wait() }

  private static func send(
    _ socket: SharedTCPSocket, _ byteCount: Int, _ seed: UInt64,
    _ observe: (UnsafeRawBufferPointer) -> Void
  ) {
    var random = SeededGenerator(seed: seed)
    // Stretches of one block from random places: made quickly, and no two streams are alike.
    let block = (0..<1 << 20).map { _ in UInt8.random(in: 0...255, using: &random) }
    var rest = byteCount
    while rest > 0 {
      let count = min(rest, Int.random(in: 1...200_000, using: &random))
      let start = Int.random(in: 0...block.count - count, using: &random)
      let bytes = Array(block[start..<start + count])
      unsafe bytes.withUnsafeBytes { unsafe observe($0) }
      var sentCount = 0
      while sentCount < count {
        guard let more = try? socket.socket.send(Array(bytes[sentCount...])) else { return }
        sentCount += more
      }
      rest -= count
    }
    try? socket.finishSending()
  }
}
