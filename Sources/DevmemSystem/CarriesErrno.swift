// SPDX-License-Identifier: Apache-2.0

/// An error that was, or came from, the kernel's answer to a system call: what the tests with forced
/// errnos look at.
package protocol CarriesErrno: Error {
  /// The kernel's answer; nil where we refused before asking it.
  var carriedErrno: Errno? { get }
}

extension Errno: CarriesErrno {
  package var carriedErrno: Errno? { self }
}
