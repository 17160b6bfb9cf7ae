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

  /// Hands the buffer over and waits until the importer has mapped it.
  func lend(_ buffer: DMABuf, of pool: PagePool) throws -> FragmentLender {
    let lender = try FragmentLender(buffer, over: socket, reclaim: pool.reclaim)
    while !lender.isReady {
      try patience.wait(for: socket.descriptor.rawValue, Int16(POLLIN))
      try lender.collect()
    }
    return lender
  }

  /// Once all is read: the SHA-256 of what the importer has seen, and the outcome of the DRM
  /// import.
  func result(of lender: FragmentLender) throws -> (digest: [UInt8], drmImport: String) {
    while true {
      guard let answer = try lender.finish() else {
        try patience.wait(for: socket.descriptor.rawValue, Int16(POLLIN))
        continue
      }
      guard answer.count >= 32 else { throw CommandError("the importer's result is too short") }
      try wait()
      return (Array(answer[..<32]), String(decoding: answer[32...], as: UTF8.self))
    }
  }

  /// Waits for the process's good end.
  private func wait() throws(CommandError) {
    let status = try patience.waitForEnd(of: processID)
    isReaped = true
    if status != 0 { throw CommandError("the importer process ended with status \(status)") }
  }
}
