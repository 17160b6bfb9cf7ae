// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Where received bytes go: a file, standard output, or nowhere.
struct ByteSink: ~Copyable {
  private let file: OwnedFileDescriptor?
  private let number: Int32?
  private let name: String
  /// Whether whoever reads what is written may leave it lying.
  private let stalls: Bool

  /// - Parameter path: a file, "-" for standard output, nil for nowhere.
  init(_ path: String?) throws(CommandError) {
    name = path == "-" ? "standard output" : path ?? ""
    guard let path, path != "-" else {
      number = path == nil ? nil : STDOUT_FILENO
      file = nil
      stalls = true
      return
    }
    let opened = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard opened >= 0 else { throw CommandError("opening \(path)", Errno(rawValue: errno)) }
    number = opened
    file = OwnedFileDescriptor(owning: opened)
    var status = stat()
    stalls = unsafe fstat(opened, &status) < 0 || status.st_mode & S_IFMT != S_IFREG
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(CommandError) {
    guard let number else { return }
    // Regular files do not stall, and poll(2) calls them ready at all times.
    let stalls = self.stalls
    let limit = stalls ? Terminal.atomicByteCount : .max
    try unsafe Terminal.writeAll(bytes, to: number, name: name, atOnce: limit) {
      () throws(CommandError) in
      try stalls ? Interruption.wait(for: number, Int16(POLLOUT)) : true
    }
  }
}
