// SPDX-License-Identifier: Apache-2.0

import DevmemNet

/// The last so many fragments, each with a sum of its bytes: what is held must not change while
/// traffic goes on.
struct HeldFragments: ~Copyable {
  private final class Entry {
    let fragment: PayloadFragment
    let sum: UInt64

    init(_ fragment: consuming PayloadFragment) {
      sum = HeldFragments.sum(of: fragment)
      self.fragment = consume fragment
    }
  }

  private let limit: Int
  private var entries: [Entry?]
  private var first = 0
  private var count = 0
  /// Fragments whose bytes were not as before when they ended.
  private(set) var changedCount = 0

  init(limit: Int) {
    self.limit = limit
    entries = Array(repeating: nil, count: limit)
  }

  /// Keeps a fragment, and ends the oldest one where there are too many. Inside a bracket of CPU
  /// access.
  mutating func append(_ fragment: consuming PayloadFragment) {
    guard limit > 0 else { return }
    if count == limit { releaseFirst() }
    entries[(first + count) % limit] = Entry(fragment)
    count += 1
  }

  /// Ends the oldest one, if there is one. Inside a bracket of CPU access.
  mutating func releaseFirst() {
    guard count > 0, let entry = entries[first] else { return }
    if Self.sum(of: entry.fragment) != entry.sum { changedCount += 1 }
    entries[first] = nil
    first = (first + 1) % limit
    count -= 1
  }

  mutating func releaseAll() { while count > 0 { releaseFirst() } }

  /// FNV-1a over words: any changed byte changes it.
  private static func sum(of fragment: borrowing PayloadFragment) -> UInt64 {
    let sum = try? fragment.withBytes { bytes in
      unsafe bytes.withUnsafeBytes { bytes in
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        var position = 0
        while position + 8 <= bytes.count {
          let word = unsafe bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
          sum = (sum ^ word) &* 0x100_0000_01B3
          position += 8
        }
        while position < bytes.count {
          sum = unsafe (sum ^ UInt64(bytes[position])) &* 0x100_0000_01B3
          position += 1
        }
        return sum
      }
    }
    return sum ?? 0
  }
}
