// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

/// The importer as the demo sees it: a child process and the socket to it. Killed and reaped with
/// this value.
final class ImporterProcess {
  let socket: UnixSocket
  let processID: pid_t
  /// How it is waited for.
  let patience: PeerWait
  private var isReaped = false

  deinit {
    guard !isReaped else { return }
    kill(processID, SIGKILL)
    waitpid(processID, nil, 0)
  }

  /// Starts this program anew (no forked state), with nothing but one end of a socket pair.
  ///
  /// - Parameter limit: seconds that it may be silent.
  init(limit: Int) throws(CommandError) {
    let process = try OwnProcess(["importer"])
    processID = process.processID
    socket = process.socket
    patience = PeerWait(name: "the importer (process \(process.processID))", limit: limit)
  }

  /// Hands the buffer's descriptor over and waits until the importer has mapped it.
  func send(_ buffer: DMABuf) throws {
    var hello = MessageHeader(.hello, count: 0, flag: buffer.isExported ? 1 : 0)
    let bytes = unsafe withUnsafeBytes(of: &hello) { unsafe Array($0) }
    do throws(DevmemError) {
      try buffer.sendDescriptor(over: socket, message: bytes)
    } catch {
      guard error.code == .peerClosed else { throw error }
      throw CommandError("the importer process (\(processID)) went away", .EPIPE)
    }
    var answer = MessageBuffer()
    _ = try receive(.ready, &answer)
  }

  /// Once the batches are finished: the SHA-256 of what the importer has seen, and the outcome of
  /// the DRM import.
  func result() throws -> (digest: [UInt8], drmImport: String) {
    var message = MessageBuffer()
    let payload = try receive(.result, &message)
    guard payload.count >= 32 else { throw CommandError("the importer's result is too short") }
    try wait()
    return (Array(payload[..<32]), String(decoding: payload[32...], as: UTF8.self))
  }

  private func receive(
    _ expected: ImporterMessage, _ message: inout MessageBuffer
  ) throws(CommandError) -> [UInt8] {
    try patience.wait(for: socket.descriptor.rawValue, Int16(POLLIN))
    do throws(Errno) {
      guard try message.receive(from: socket) else { throw Errno.ECONNRESET }
    } catch {
      throw CommandError("the importer process (\(processID)) went away", error)
    }
    switch message.header?.message {
    case expected?: return message.payload
    case .failure?:
      throw CommandError("importer: " + String(decoding: message.payload, as: UTF8.self))
    default: throw CommandError("the importer answers with another message than expected")
    }
  }

  /// Waits for the process's good end.
  private func wait() throws(CommandError) {
    let status = try patience.waitForEnd(of: processID)
    isReaped = true
    if status != 0 { throw CommandError("the importer process ended with status \(status)") }
  }
}
