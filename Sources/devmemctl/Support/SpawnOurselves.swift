// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// A second process of this program, and the socket to it. Started anew (no forked state), with
/// nothing open but standard input, output and error, and its end of the socket.
struct OwnProcess: Sendable {
  /// Our end. Its other end is the process's alone, so that the process's death shows here.
  let socket: UnixSocket
  let processID: pid_t

  /// The number of its end of the socket over there: any that standard input, output and error do
  /// not have.
  static let socketNumber: Int32 = 3

  /// Starts it.
  ///
  /// - Parameters:
  ///   - arguments: without the program's name; `--socket` and the number are added.
  ///   - executable: the program; nil for this one.
  init(_ arguments: [String], executable: String? = nil) throws(CommandError) {
    let (near, far) = try CommandError.wrapping("making a pair of Unix sockets") {
      () throws(Errno) in try UnixSocket.pair()
    }
    let all = ["devmemctl"] + arguments + ["--socket", "\(Self.socketNumber)"]
    let ways = executable.map { [$0] } ?? ["/proc/self/exe", SystemProcess.executablePath]
    var failure: CommandError?
    for way in ways {
      do throws(Errno) {
        processID = try SystemProcess.spawn(
          way, all, passing: far.descriptor, as: Self.socketNumber)
        socket = near
        // Whoever keeps the other end open waits for a peer that has gone.
        _ = consume far
        return
      } catch {
        // Without /proc there is still the path by which we were started.
        if failure == nil {
          failure = CommandError("starting devmemctl \(arguments[0]) from \(way)", error)
        }
      }
    }
    throw failure ?? CommandError("no program to start")
  }
}
