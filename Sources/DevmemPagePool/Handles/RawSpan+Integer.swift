// SPDX-License-Identifier: Apache-2.0

extension RawSpan {
  /// Reads an integer in the processor's byte order, at any offset: what
  /// `unsafeLoad(fromByteOffset:as:)` does, checked.
  /// - Parameters:
  ///   - offset: of the integer's first byte, 0 or more.
  ///   - type: which integer; any of the standard library's.
  /// - Precondition: the integer lies in the span.
  @inlinable
  public func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int, as type: Integer.Type
  ) -> Integer {
    precondition(
      offset >= 0 && MemoryLayout<Integer>.size <= byteCount
        && offset <= byteCount - MemoryLayout<Integer>.size, "the integer lies outside the span")
    // SAFETY: inside, and every pattern of bits is an integer.
    return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: type)
  }
}
