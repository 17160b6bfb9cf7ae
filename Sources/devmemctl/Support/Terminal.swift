// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What we know about one of our output streams, and how to write to it.
struct Terminal: Sendable {
  static let output = Terminal(descriptor: STDOUT_FILENO)
  static let error = Terminal(descriptor: STDERR_FILENO)

  let descriptor: Int32

  /// Whether a person is watching: decides about colours and progress bars.
  var isInteractive: Bool { isatty(descriptor) == 1 }

  /// Writes all of `text`, unbuffered, so that the order against a child's output is kept.
  func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let written = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
      }
      if written < 0 {
        if errno == EINTR { continue }
        return
      }
      rest = rest.dropFirst(written)
    }
  }

  func writeLine(_ text: String) { write(text + "\n") }

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
