// SPDX-License-Identifier: Apache-2.0

/// Why a netlink request failed: the errno, and what the kernel said beside it (extended ack, `enum
/// nlmsgerr_attrs` of include/uapi/linux/netlink.h).
package struct NetlinkFailure: Error, Hashable, Sendable, CarriesErrno {
  /// The kernel's answer, or why there is none: `EAGAIN` if the time limit passed.
  package let errno: Errno
  /// `NLMSGERR_ATTR_MSG`: the kernel's own words.
  package let text: String?
  /// `NLMSGERR_ATTR_OFFS`: where in the request the attribute is that was refused; see
  /// ``NetlinkRequest/path(to:)``.
  package let badAttributeOffset: Int?
  /// `NLMSGERR_ATTR_MISS_TYPE`: the number of the attribute that the kernel missed.
  package let missingAttribute: UInt16?

  /// Describes a failure.
  package init(
    _ errno: Errno, text: String? = nil, badAttributeOffset: Int? = nil,
    missingAttribute: UInt16? = nil
  ) {
    self.errno = errno
    self.text = text
    self.badAttributeOffset = badAttributeOffset
    self.missingAttribute = missingAttribute
  }

  package var carriedErrno: Errno? { errno }

  /// Runs a system call; its errno becomes a failure.
  package static func wrapping<Result: ~Copyable>(
    _ body: () throws(Errno) -> Result
  ) throws(NetlinkFailure) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw NetlinkFailure(error)
    }
  }
}

extension NetlinkFailure: CustomStringConvertible {
  /// "EINVAL (Invalid argument): tcp-data-split is disabled".
  package var description: String {
    var text = "\(errno)"
    if let words = self.text { text += ": \(words)" }
    if let badAttributeOffset { text += " (the attribute at byte \(badAttributeOffset))" }
    if let missingAttribute { text += " (attribute \(missingAttribute) is missing)" }
    return text
  }
}
