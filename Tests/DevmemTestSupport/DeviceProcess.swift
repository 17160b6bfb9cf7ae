// SPDX-License-Identifier: Apache-2.0

package import Devmem
package import DevmemSystem
import Foundation

/// The program DevmemDeviceProcess, which uses a dma-buf in a process of its own, and the socket
/// over which it is told what to do.
package final class DeviceProcess {
  package let socket: UnixSocket
  private let tool: ToolProcess

  /// Starts it in one of its modes, and waits until it has connected.
  package init(_ mode: String) throws {
    let path = "@devmem-device-\(UUID().uuidString)"
    let listener = try UnixSocket.listen(path: path)
    tool = try ToolProcess(
      DevmemctlProcess.executable.deletingLastPathComponent()
        .appendingPathComponent("DevmemDeviceProcess"), [mode, path])
    guard try listener.descriptor.wait(for: .readable, milliseconds: 60_000) else {
      throw ToolProcess.Silence(description: "\(mode) has not connected")
    }
    socket = try listener.accept()
  }

  /// Starts it with a dma-buf of ours, and waits until it has it.
  package convenience init(_ mode: String, with buffer: DMABuf) throws {
    try self.init(mode)
    try buffer.sendDescriptor(over: socket, message: [1])
    guard try socket.receiveWords(limit: 1) != nil else {
      throw ToolProcess.Silence(description: try wait().standardError)
    }
  }

  package func kill() { tool.process.terminate(by: SIGKILL) }

  /// Waits for its end.
  package func wait() throws -> ToolProcess.Output { try tool.wait() }
}

extension Process {
  fileprivate func terminate(by signal: Int32) { Glibc.kill(processIdentifier, signal) }
}

/// What a fence device is told; its first word, and the job's number the second.
package enum FenceMessage: UInt32 {
  /// Answered with the job's fence, which does not begin yet.
  case announce = 1
  /// The buffers, as further words; answered with the fence if it was not announced.
  case begin
  /// Answered, when all jobs have ended, with how many buffers had been written to meanwhile.
  case finish

  /// Words of a message at most.
  package static let wordLimit = 256
  /// What the device writes all over the buffers, with its job's number.
  package static let mark: UInt64 = 0xdef1_ce00 << 32
}

extension UnixSocket {
  package func send(words: [UInt32], descriptors: [Int32] = []) throws(Errno) {
    try send(
      words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } },
      descriptors: descriptors)
  }

  /// The one descriptor of the next message.
  package func receiveDescriptor() throws -> OwnedFileDescriptor {
    var message = try receive(byteLimit: 16, descriptorLimit: 1)
    guard let descriptor = message.descriptors.popFirst() else {
      throw ToolProcess.Silence(description: "no descriptor came")
    }
    return descriptor
  }

  /// Nil at the end.
  package func receiveWords(limit: Int) throws(Errno) -> [UInt32]? {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try receive(byteLimit: 4 * limit).bytes
    } catch {
      guard error == .ECONNRESET else { throw error }
      return nil
    }
    guard !bytes.isEmpty else { return nil }
    return stride(from: 0, to: bytes.count, by: 4).map { start in
      bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
  }
}
