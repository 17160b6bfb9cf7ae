// SPDX-License-Identifier: Apache-2.0

/// How a stream is cut into packets: a header of fixed size that says how long the payload is.
public struct HeaderFraming: Sendable {
  /// Size of every header in bytes, 1 or more.
  package let headerByteCount: Int
  /// The largest payload that is accepted, in bytes.
  package let maximumPayloadByteCount: Int
  let payloadByteCount: @Sendable (RawSpan) -> Int?

  /// A framing rule.
  /// - Parameters:
  ///   - headerByteCount: size of every header, 1 or more; it has to fit into one buffer of the
  ///     header pool.
  ///   - maximumPayloadByteCount: 0 or more. A header that announces more is an error: a peer must
  ///     not be able to make us wait for more memory than there is.
  ///   - payloadByteCount: reads the payload's size in bytes from a complete header; nil for a
  ///     header that makes no sense. Called once a packet, on the receiving thread.
  public init(
    headerByteCount: Int, maximumPayloadByteCount: Int,
    payloadByteCount: @escaping @Sendable (RawSpan) -> Int?
  ) {
    precondition(headerByteCount > 0, "a header has at least one byte")
    precondition(maximumPayloadByteCount >= 0, "negative payload size")
    self.headerByteCount = headerByteCount
    self.maximumPayloadByteCount = maximumPayloadByteCount
    self.payloadByteCount = payloadByteCount
  }
}
