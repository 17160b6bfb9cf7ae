// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

/// Gives everybody who connects to a Unix socket a dma-buf's descriptor and a line about it, and closes
/// the connection.
final class DescriptorServer: Sendable {
  private let path: String

  /// Listens at a path that must not exist, or at an abstract name that begins with "@".
  init(path: String, _ buffer: DMABuf, _ description: JSONValue) throws {
    let listener: UnixSocket
    do {
      listener = try UnixSocket.listen(path: path)
    } catch {
      throw CommandError(
        "listening at \(path): \(error)",
        remedy: error == .EADDRINUSE ? "If nobody uses it: rm \(path)" : nil)
    }
    self.path = path
    let line = Array((description.text + "\n").utf8)
    // Ends with the process.
    _ = BackgroundThread {
      while true {
        guard let connection = try? listener.accept() else {
          // Too many open files, most likely: they pass.
          usleep(10_000)
          continue
        }
        // Whoever connects and leaves has only itself to blame.
        try? buffer.sendDescriptor(over: connection, message: line)
      }
    }
  }

  /// Takes the path away, so that nobody finds it any more.
  func close() {
    if !path.hasPrefix("@") { unsafe unlink(path) }
  }
}
