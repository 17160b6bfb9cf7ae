// SPDX-License-Identifier: Apache-2.0

/// Finds the IOV at an offset of the buffer in constant time, ragged runs included.
///
/// IOVs never overlap, so at most one starts in any stretch of the buffer that is one IOV long: a
/// table with one entry a stretch tells the only two IOVs that can cover an offset, the one that
/// starts in its stretch and the one that starts in the stretch before. A buffer that is one run
/// from offset 0 needs no table.
struct IOVStarts: Sendable {
  private let shift: UInt64
  private let iovCount: Int
  /// One more than the index of the IOV that starts in a stretch, 0 if none does; empty when IOV N
  /// starts at stretch N.
  private let table: [UInt32]

  init(owners: [DMABufChunkOwner], iovByteCount: Int) {
    shift = UInt64(iovByteCount.trailingZeroBitCount)
    iovCount = owners.reduce(0) { $0 + $1.iovCount }
    guard let last = owners.last, owners.count > 1 || last.baseVirtual != 0 else {
      table = []
      return
    }
    let end = Int(last.baseVirtual >> shift) + last.iovCount + 1
    var table = [UInt32](repeating: 0, count: end)
    for owner in owners {
      let first = Int(owner.baseVirtual >> shift)
      for index in 0..<owner.iovCount { table[first + index] = UInt32(owner.firstIOV + index + 1) }
    }
    self.table = table
  }

  /// The IOVs that may cover an offset.
  func candidates(for offset: UInt64) -> CollectionOfTwo {
    let stretch = offset >> shift
    guard stretch < UInt64(Int.max) else { return CollectionOfTwo(nil, nil) }
    let index = Int(stretch)
    guard !table.isEmpty else { return CollectionOfTwo(index < iovCount ? index : nil, nil) }
    func start(_ position: Int) -> Int? {
      guard table.indices.contains(position), table[position] != 0 else { return nil }
      return Int(table[position]) - 1
    }
    return CollectionOfTwo(start(index), start(index - 1))
  }

  /// Up to two indices, without an allocation.
  struct CollectionOfTwo {
    private let a: Int?
    private let b: Int?

    init(_ a: Int?, _ b: Int?) {
      self.a = a
      self.b = b
    }

    func first(where isMatch: (Int) -> Bool) -> Int? {
      if let a, isMatch(a) { return a }
      if let b, isMatch(b) { return b }
      return nil
    }
  }
}
