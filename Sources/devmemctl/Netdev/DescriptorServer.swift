// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc
import Synchronization

/// Gives those who may have it a dma-buf's descriptor and a line about it when they connect to a
/// Unix socket, and closes the connection.
final class DescriptorServer: Sendable {
  /// Who gets the descriptor. With it one reads and writes the memory for as long as one keeps it,
  /// also after the binding's end.
  struct Admission: Sendable {
    /// Besides this process's own user, and root.
    var users: Set<UInt32> = []
    var groups: Set<UInt32> = []

    func admits(_ peer: UnixSocket.Peer) -> Bool {
      peer.user == SystemProcess.effectiveUser || peer.user == 0 || users.contains(peer.user)
        || !groups.isDisjoint(with: peer.groups)
    }

    /// Of the socket's file: who may connect at all. The peer's identity decides, in any case.
    var permissions: UInt32 { users.isEmpty && groups.isEmpty ? 0o600 : 0o666 }
  }

  private let path: String

  /// Listens at a path, or at an abstract name that begins with "@".
  init(
    path: String, _ buffer: DMABuf, _ description: JSONValue, admission: Admission
  ) throws(CommandError) {
    let listener: UnixSocket
    // The umask would take from others what they were given by name.
    let before = umask(0)
    defer { umask(before) }
    do throws(Errno) {
      listener = try UnixSocket.listen(path: path, permissions: admission.permissions)
    } catch {
      let remedy: String? =
        switch error {
        case .EADDRINUSE: "Somebody listens there, or it is another kind of file: choose another."
        case .ENAMETOOLONG: "A socket's path has at most 107 bytes: choose a shorter one."
        case .ENOENT, .ENOTDIR: "Make the folder that it is to be in."
        default: nil
        }
      throw CommandError("listening at \(path)", error, remedy: remedy)
    }
    self.path = path
    let line = Array((description.text + "\n").utf8)
    // Ends with the process.
    _ = BackgroundThread {
      // For each user once: whoever connects ten thousand times fills no log.
      var refused: Set<UInt32> = []
      while true {
        guard let connection = try? listener.accept() else {
          // Too many open files, most likely: they pass.
          usleep(10_000)
          continue
        }
        guard let peer = try? connection.peer() else { continue }
        guard admission.admits(peer) else {
          if refused.insert(peer.user).inserted {
            Terminal.error.noteLine(
              "refused the descriptor to user \(peer.user) (process \(peer.process)), and will "
                + "each time;"
                + " --allow-user or --allow-group let others have it")
          }
          continue
        }
        // Fits into the buffer of a new connection: nobody who does not read keeps it waiting.
        try? buffer.sendDescriptor(over: connection, message: line)
      }
    }
  }

  /// Takes the path away, so that nobody finds it any more.
  func close() {
    if !path.hasPrefix("@") { unsafe unlink(path) }
  }
}

extension DescriptorServer.Admission {
  /// Reads what --allow-user and --allow-group were given: names or numbers.
  init(users: [String], groups: [String]) throws(CommandError) {
    for name in users {
      let entry = unsafe getpwnam(name)
      guard let user = unsafe UInt32(name) ?? entry?.pointee.pw_uid else {
        throw CommandError(
          "--allow-user \(name): there is no such user", remedy: "Who there is: getent passwd")
      }
      self.users.insert(user)
    }
    for name in groups {
      let entry = unsafe getgrnam(name)
      guard let group = unsafe UInt32(name) ?? entry?.pointee.gr_gid else {
        throw CommandError(
          "--allow-group \(name): there is no such group", remedy: "Which there are: getent group")
      }
      self.groups.insert(group)
    }
  }
}
