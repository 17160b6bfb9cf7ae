// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A stream that repeats a few bytes for ever: 1, 2, … `period` - 1, newline. What the kernel's
/// selftest client checks with `ncdevmem -v PERIOD`
/// (tools/testing/selftests/drivers/net/hw/ncdevmem.c), and what `yes $(echo -e \\x01\\x02…)`
/// makes.
struct BytePattern: Sendable {
  /// Bytes before it begins again, 2 to 255.
  let period: Int
  /// Whole periods, and one besides, so that a block can begin anywhere in the first.
  private let bytes: [UInt8]
  private static let blockByteCount = 64 << 10

  init(period: Int) {
    precondition((2...255).contains(period), "pattern period out of range")
    self.period = period
    bytes = (0..<Self.blockByteCount + period).map { position in
      let value = (position + 1) % period
      return value == 0 ? UInt8(ascii: "\n") : UInt8(value)
    }
  }

  /// Fills `destination` with the stream's bytes from `offset` on.
  func fill(_ destination: UnsafeMutableRawBufferPointer, at offset: Int) {
    unsafe forEachBlock(offset, destination.count) { position, block in
      unsafe memcpy(
        destination.baseAddress.unsafelyUnwrapped + position,
        block.baseAddress.unsafelyUnwrapped, block.count)
      return true
    }
  }

  /// Where `received`, which lies at `offset` of the stream, first differs; nil if it does not.
  func firstDifference(in received: UnsafeRawBufferPointer, at offset: Int) -> Int? {
    var difference: Int?
    unsafe forEachBlock(offset, received.count) { position, block in
      let start = unsafe received.baseAddress.unsafelyUnwrapped + position
      if unsafe memcmp(start, block.baseAddress.unsafelyUnwrapped, block.count) == 0 { return true }
      for index in 0..<block.count where unsafe received[position + index] != block[index] {
        difference = position + index
        break
      }
      return false
    }
    return difference
  }

  /// The byte at an offset of the stream.
  func byte(at offset: Int) -> UInt8 { bytes[offset % period] }

  private func forEachBlock(
    _ offset: Int, _ byteCount: Int, _ body: (Int, UnsafeRawBufferPointer) -> Bool
  ) {
    unsafe bytes.withUnsafeBytes { bytes in
      var position = 0
      while position < byteCount {
        let phase = (offset + position) % period
        let count = min(byteCount - position, Self.blockByteCount)
        let block = unsafe UnsafeRawBufferPointer(rebasing: bytes[phase..<phase + count])
        guard unsafe body(position, block) else { return }
        position += count
      }
    }
  }
}
