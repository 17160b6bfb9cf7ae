// SPDX-License-Identifier: Apache-2.0

/// An error that was, or came from, the kernel's answer to a system call: what the tests with
/// forced errnos look at.
package protocol CarriesErrno: Error {
  /// The kernel's answer; nil where we refused before asking it.
  var carriedErrno: Errno? { get }
}

extension CarriesErrno {
  /// What the errors of the library say in one line: operation, code, errno, the kernel's words,
  /// remedy.
  package func line(
    _ operation: String, code: String, cause: String? = nil, remedy: String?
  ) -> String {
    var text = "\(operation): \(code)"
    if let carriedErrno { text += ", \(carriedErrno)" }
    if let cause { text += ", \"\(cause)\"" }
    if let remedy { text += ". \(remedy)" }
    return text
  }
}

extension Errno: CarriesErrno {
  package var carriedErrno: Errno? { self }
}
