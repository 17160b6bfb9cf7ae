// SPDX-License-Identifier: Apache-2.0

import DevmemNet

/// The 64 bytes in front of every payload, little endian.
struct DemoHeader: BitwiseCopyable, Equatable {
  static let byteCount = 64
  /// "devmem-1"
  private static let magic: UInt64 = 0x312D_6D65_6D76_6564

  /// Packets before this one.
  var sequence: UInt64
  /// Bytes of the stream before this payload.
  var offset: UInt64
  var payloadByteCount: UInt64

  /// How the stream is cut.
  static func framing(maximumPayloadByteCount: Int) -> HeaderFraming {
    HeaderFraming(
      headerByteCount: byteCount, maximumPayloadByteCount: maximumPayloadByteCount
    ) { bytes in
      DemoHeader(bytes).flatMap { Int(exactly: $0.payloadByteCount) }
    }
  }

  init(sequence: UInt64, offset: UInt64, payloadByteCount: UInt64) {
    self.sequence = sequence
    self.offset = offset
    self.payloadByteCount = payloadByteCount
  }

  /// Nil for bytes that are no header.
  init?(_ bytes: RawSpan) {
    guard bytes.byteCount >= Self.byteCount else { return nil }
    func word(_ position: Int) -> UInt64 {
      // The range was checked, and any 8 bytes are an integer.
      UInt64(
        littleEndian: unsafe bytes.unsafeLoadUnaligned(
          fromByteOffset: position * 8, as: UInt64.self))
    }
    guard word(0) == Self.magic else { return nil }
    self.init(sequence: word(1), offset: word(2), payloadByteCount: word(3))
  }

  /// Writes the header over the first 64 bytes.
  func store(into bytes: UnsafeMutableRawBufferPointer) {
    let words = [Self.magic, sequence, offset, payloadByteCount]
    for position in 0..<Self.byteCount / 8 {
      let word = position < words.count ? words[position] : 0
      unsafe bytes.storeBytes(
        of: word.littleEndian, toByteOffset: position * 8, as: UInt64.self)
    }
  }
}
