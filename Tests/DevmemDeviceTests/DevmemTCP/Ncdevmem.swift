// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Glibc

/// The kernel's selftest client (tools/testing/selftests/drivers/net/hw/ncdevmem.c), unmodified.
///
/// It sets up header split, RSS and an n-tuple rule for its queue, by itself, with `ethtool`; puts
/// them back when it ends; and takes the last queue unless told otherwise.
struct Ncdevmem {
  private let tool: ToolProcess

  /// Starts it at one of the ends.
  init(at end: DevmemSim.End, _ arguments: [String], input: Data = Data()) throws {
    let command = [try DevmemSim.environment("NCDEVMEM"), "-f", end.interface] + arguments
    tool = try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"), DevmemSim.command(command, at: end), input: input)
  }

  /// A receiver, ready for the connection.
  static func receiver(
    at end: DevmemSim.End = DevmemSim.here, address: String, port: UInt16, _ arguments: [String]
  ) throws -> Ncdevmem {
    let receiver = try Ncdevmem(at: end, ["-l", "-s", address, "-p", "\(port)"] + arguments)
    try receiver.tool.waitForError("Waiting or connection")
    return receiver
  }

  /// Waits until the receiver has got so many bytes in all.
  func waitForBytes(_ byteCount: Int) throws {
    try tool.waitForError("\ntotal_received=\(byteCount)\n")
  }

  /// Keeps it from reading (`SIGSTOP`).
  func stop() { Glibc.kill(tool.process.processIdentifier, SIGSTOP) }

  /// Ends it without a chance to clean up (`SIGKILL`).
  func kill() { Glibc.kill(tool.process.processIdentifier, SIGKILL) }

  /// Waits for its end.
  func wait() throws -> ToolProcess.Output { try tool.wait() }
}

extension ToolProcess.Output {
  /// Bytes that ncdevmem says it has received into device memory.
  var receivedByteCount: Int {
    standardError.matches(of: /total_received=(\d+)\n/).last.flatMap { Int($0.output.1) } ?? 0
  }

  /// Fragments of device memory it has received.
  var fragmentCount: Int { standardError.matches(of: /received frag_page/).count }

  /// Times it got payload by copy.
  var linearCount: Int { standardError.matches(of: /SCM_DEVMEM_LINEAR/).count }
}
