// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// What comes from another process or from the wire, made up: seeded, so that a failure can be had
/// again.
///
/// `DEVMEM_FUZZ_COUNT` says how many messages a test makes, `DEVMEM_FUZZ_SEED` from which number
/// on. `make soak` makes a million of each kind.
package enum Fuzzing {
  /// Messages that each test makes.
  ///
  /// - Parameter few: where nobody says how many.
  package static func count(orElse few: Int) -> Int { number("DEVMEM_FUZZ_COUNT") ?? few }

  /// Of the first message.
  package static var seed: UInt64 { number("DEVMEM_FUZZ_SEED").map(UInt64.init) ?? 1 }

  /// Runs `body` for each message, with a generator of its own; says on standard error which one an
  /// error was about.
  package static func forEach(
    orElse few: Int, _ body: (inout SeededGenerator) throws -> Void
  ) rethrows {
    for number in 0..<UInt64(count(orElse: few)) {
      var generator = SeededGenerator(seed: seed &+ number)
      do {
        try body(&generator)
      } catch {
        FileHandle.standardError.write(
          Data("DEVMEM_FUZZ_SEED=\(seed &+ number) DEVMEM_FUZZ_COUNT=1: \(error)\n".utf8))
        throw error
      }
    }
  }

  private static func number(_ name: String) -> Int? {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
  }
}

extension SeededGenerator {
  /// Up to so many bytes without any sense.
  package mutating func bytes(upTo limit: Int) -> [UInt8] {
    let count = Int.random(in: 0...limit, using: &self)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  /// Numbers at which lengths, offsets and counts go wrong, and some between.
  package mutating func edge() -> UInt64 {
    let edges: [UInt64] = [
      0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 20, 24, 32, 63, 64, 4095, 4096, 4097, 65535, 65536,
      1 << 20, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFF, 1 << 32, 0x7FFF_FFFF_FFFF_FFFF,
      1 << 63, .max,
    ]
    return next() & 3 == 0 ? next() : edges[Int(next() % UInt64(edges.count))]
  }

  /// Some bytes changed, cut off, put in twice, or numbers written over others.
  package mutating func damage(_ bytes: inout [UInt8]) {
    for _ in 0...(next() & 3) {
      guard !bytes.isEmpty else {
        bytes = self.bytes(upTo: 16)
        continue
      }
      let place = Int(next() % UInt64(bytes.count))
      switch next() % 6 {
      case 0: bytes[place] ^= 1 << (next() & 7)
      case 1: bytes[place] = UInt8(truncatingIfNeeded: next())
      case 2: bytes.removeLast(bytes.count - place)
      case 3: bytes.insert(contentsOf: bytes[place...], at: place)
      case 4: bytes += self.bytes(upTo: 16)
      default:
        let value = edge()
        let width = [1, 2, 4, 8][Int(next() & 3)]
        let start = next() & 1 == 0 ? place : place / width * width
        for position in 0..<width where start + position < bytes.count {
          bytes[start + position] = UInt8(truncatingIfNeeded: value >> UInt64(8 * position))
        }
      }
    }
  }
}
