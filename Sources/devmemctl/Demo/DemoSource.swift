// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Where the bytes to be sent come from. Any range can be asked for at any time, and is the same
/// each time, so that the comparison sends exactly what the demo sent.
enum DemoSource: Sendable {
  case file(path: String)
  /// A repeatable stream of pseudo-random bytes.
  case generator(seed: UInt64)

  /// Opens the source for one thread's use.
  func open() throws(CommandError) -> Reader {
    switch self {
    case .generator(let seed): return Reader(seed: seed, descriptor: nil, path: "")
    case .file(let path):
      let number = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
      guard number >= 0 else { throw CommandError("opening \(path): \(errorText(errno))") }
      return Reader(seed: 0, descriptor: OwnedFileDescriptor(owning: number), path: path)
    }
  }

  /// An open source.
  struct Reader: ~Copyable {
    fileprivate let seed: UInt64
    fileprivate let descriptor: OwnedFileDescriptor?
    fileprivate let path: String

    /// Fills `bytes` with the stream's bytes from `offset` on.
    func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) throws(CommandError) {
      guard let number = descriptorNumber else {
        unsafe generate(at: offset, into: bytes)
        return
      }
      var done = 0
      while done < bytes.count {
        let count = unsafe pread(
          number, bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done, offset + done)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          throw CommandError(
            count == 0
              ? "\(path) got shorter while it was being sent"
              : "reading \(path): \(errorText(errno))")
        }
        done += count
      }
    }

    private var descriptorNumber: Int32? {
      switch descriptor {
      case .some(let descriptor): descriptor.rawValue
      case .none: nil
      }
    }

    /// SplitMix64 by position: eight bytes of the stream depend on nothing but the seed and where
    /// they are. About 1 ns for eight bytes, so that hashing stays the slower part.
    private func generate(at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
      var position = 0
      // The first word may begin before the range, the last may end behind it.
      while position < bytes.count {
        let start = offset + position
        let word = Self.word(seed: seed, index: UInt64(start / 8)).littleEndian
        let skipped = start % 8
        let count = min(8 - skipped, bytes.count - position)
        if count == 8 {
          unsafe bytes.storeBytes(of: word, toByteOffset: position, as: UInt64.self)
        } else {
          for index in 0..<count {
            unsafe bytes.storeBytes(
              of: UInt8(truncatingIfNeeded: word >> UInt64((skipped + index) * 8)),
              toByteOffset: position + index, as: UInt8.self)
          }
        }
        position += count
      }
    }

    private static func word(seed: UInt64, index: UInt64) -> UInt64 {
      var word = seed &+ (index &+ 1) &* 0x9E37_79B9_7F4A_7C15
      word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
      return word ^ (word >> 31)
    }
  }
}
