// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Where received bytes go: a file, standard output, or nowhere.
struct ByteSink: ~Copyable {
  private let file: OwnedFileDescriptor?
  private let number: Int32?
  private let name: String

  /// - Parameter path: a file, "-" for standard output, nil for nowhere.
  init(_ path: String?) throws(CommandError) {
    name = path == "-" ? "standard output" : path ?? ""
    guard let path, path != "-" else {
      number = path == nil ? nil : STDOUT_FILENO
      file = nil
      return
    }
    let opened = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard opened >= 0 else { throw CommandError("opening \(path): \(errorText(errno))") }
    number = opened
    file = OwnedFileDescriptor(owning: opened)
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(CommandError) {
    guard let number else { return }
    var done = 0
    while done < bytes.count {
      let count = unsafe Glibc.write(
        number, bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw CommandError("writing to \(name): \(errorText(errno))") }
      done += count
    }
  }
}
