// SPDX-License-Identifier: Apache-2.0

/// A CRC-32 (IEEE 802.3, as zlib's) with what is needed to put those of parts together.
struct CRC32: Equatable {
  private(set) var value: UInt32 = 0

  private static let polynomial: UInt32 = 0xEDB8_8320
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 != 0 ? crc >> 1 ^ polynomial : crc >> 1 }
  }

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let table = Self.table
    value = unsafe ~bytes.reduce(~value) { crc, byte in
      table[Int(truncatingIfNeeded: crc ^ UInt32(byte)) & 0xff] ^ crc >> 8
    }
  }

  /// Appends bytes of which only the CRC-32 is known.
  mutating func append(crc32: UInt32, byteCount: Int) {
    value = Self.times(value, Self.shift(byteCount)) ^ crc32
  }

  /// Polynomials modulo the CRC's, with x^0 in the highest bit.
  private static func times(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var product: UInt32 = 0
    var b = b
    var bit: UInt32 = 1 << 31
    while bit != 0 {
      if a & bit != 0 { product ^= b }
      b = b & 1 != 0 ? b >> 1 ^ polynomial : b >> 1
      bit >>= 1
    }
    return product
  }

  /// x to the number of bits of so many bytes.
  private static func shift(_ byteCount: Int) -> UInt32 {
    var power: UInt32 = 1 << 31
    var base: UInt32 = 1 << 23
    var left = byteCount
    while left > 0 {
      if left & 1 != 0 { power = times(power, base) }
      base = times(base, base)
      left >>= 1
    }
    return power
  }

  var hexadecimal: String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 8 - text.count) + text
  }
}
