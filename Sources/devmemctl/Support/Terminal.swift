// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// What we know about one of our output streams, and how to write to it.
///
/// A result is written with ``write(_:)``, which fails when not all of it got there. What goes
/// along for a person (progress, errors) is a ``note(_:)``: nobody can be told that it got lost.
struct Terminal: Sendable {
  static let output = Terminal(descriptor: STDOUT_FILENO)
  static let error = Terminal(descriptor: STDERR_FILENO)

  let descriptor: Int32

  /// Whether a person is watching: decides about colours and progress bars.
  var isInteractive: Bool { isatty(descriptor) == 1 }

  /// Writes all of `text`, unbuffered, so that the order against a child's output is kept.
  func write(_ text: String) throws(CommandError) {
    try write(text) { () throws(CommandError) -> Bool in
      try Interruption.wait(for: descriptor, Int16(POLLOUT))
    }
  }

  func writeLine(_ text: String) throws(CommandError) { try write(text + "\n") }

  /// Writes text that may get lost: where nobody reads, it does not keep an interrupted process
  /// waiting.
  func note(_ text: String) {
    try? write(text, waitForRoomForNote)
  }

  private func waitForRoomForNote() throws(CommandError) -> Bool {
    let isOver = Interruption.received != nil
    let isReady = try Interruption.wait(
      for: descriptor, Int16(POLLOUT), milliseconds: isOver ? 1000 : -1, isInterruptible: !isOver)
    if !isReady { throw CommandError("nobody reads") }
    return true
  }

  func noteLine(_ text: String) { note(text + "\n") }

  private func write(
    _ text: String, _ waitForRoom: () throws(CommandError) -> Bool
  ) throws(CommandError) {
    let bytes = Array(text.utf8)
    try unsafe bytes.withUnsafeBufferPointer { bytes throws(CommandError) in
      try unsafe Self.writeAll(
        UnsafeRawBufferPointer(bytes), to: descriptor,
        name: descriptor == STDERR_FILENO ? "standard error" : "standard output", waitForRoom)
    }
  }

  /// What a pipe takes without a wait when poll(2) says that it has room (`PIPE_BUF`).
  static let atomicByteCount = 4096

  /// Writes all bytes to a descriptor, so many in a call, each time after `waitForRoom` has
  /// returned.
  static func writeAll(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, name: String,
    atOnce limit: Int = atomicByteCount,
    _ waitForRoom: () throws(CommandError) -> Bool
  ) throws(CommandError) {
    var done = 0
    while done < bytes.count {
      _ = try waitForRoom()
      let count = unsafe Glibc.write(
        descriptor, bytes.baseAddress.unsafelyUnwrapped + done, min(bytes.count - done, limit))
      if count < 0 {
        if errno == EINTR || errno == EAGAIN { continue }
        throw .writing(to: name, Errno(rawValue: errno))
      }
      done += count
    }
  }

  /// `text` in `style` where a person is watching, else as it is.
  func styled(_ text: String, _ style: Style) -> String {
    isInteractive ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
  }

  /// SGR parameters of ECMA-48.
  enum Style: Int, Sendable {
    case bold = 1
    case dim = 2
    case red = 31
    case green = 32
    case yellow = 33
  }
}
