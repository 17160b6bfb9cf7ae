// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A row of 64-bit words that many threads change at once. A set bit means "free" in a leaf word
/// and "there may be something free below" in a summary word, so that `trailingZeroBitCount` finds
/// the lowest free granule without inverting, and the padding behind the last granule is zero,
/// which is "taken" for ever.
///
/// All operations are sequentially consistent: the repair of summaries (see `PoolRef.settle`) rests
/// on "write mine, then read yours", and on x86-64 it costs nothing over acquire and release.
///
/// SAFETY: `words` points into memory that lives as long as the pool (or is local to the caller),
/// and each index comes from a granule index that was checked against its chunk, or from a word of
/// the level above, whose bits exist only for words that exist.
@usableFromInline @safe struct BitmapWords {
  @usableFromInline let words: UnsafeMutablePointer<Atomic<UInt64>>

  @inline(__always)
  init(at raw: UnsafeMutableRawPointer) {
    unsafe words = raw.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// Words `offset` and following.
  @inline(__always)
  func advanced(by offset: Int) -> BitmapWords {
    unsafe BitmapWords(at: UnsafeMutableRawPointer(words + offset))
  }

  /// Makes `count` raw words into atomics that hold `value`. Before publication only.
  func initialize(count: Int, to value: UInt64) {
    for index in 0..<count { unsafe (words + index).initialize(to: Atomic(value)) }
  }

  /// Sets the lowest `bitCount` bits of the row, whose words hold none.
  func fill(bitCount: Int) {
    let full = bitCount >> 6
    for index in 0..<full { store(~0, at: index) }
    if bitCount & 63 != 0 { set(bits(from: 0, count: bitCount & 63), at: full) }
  }

  /// Gives the memory back; for words that begin an allocation of their own.
  func deallocate() { unsafe words.deallocate() }

  @inlinable @inline(__always)
  func load(_ index: Int) -> UInt64 {
    unsafe words[index].load(ordering: .sequentiallyConsistent)
  }

  /// Plain moves on x86-64, where a sequentially consistent store would be an exchange: 1.3 ms for
  /// the 2 MiB of a chunk of 16 M granules. Whoever sees a stored bit sees what was stored before.
  @inline(__always)
  func store(_ value: UInt64, at index: Int) {
    unsafe words[index].store(value, ordering: .releasing)
  }

  /// Sets `bits` and returns the word before.
  @inlinable @inline(__always) @discardableResult
  func set(_ bits: UInt64, at index: Int) -> UInt64 {
    unsafe words[index].bitwiseOr(bits, ordering: .sequentiallyConsistent).oldValue
  }

  /// Clears `bits` and returns the word before.
  @inlinable @inline(__always) @discardableResult
  func clear(_ bits: UInt64, at index: Int) -> UInt64 {
    unsafe words[index].bitwiseAnd(~bits, ordering: .sequentiallyConsistent).oldValue
  }

  /// Sets the bit only if a look at the word finds it clear, so that a summary which is already
  /// right stays in every core's cache.
  @inline(__always)
  func ensure(_ bit: Int, at index: Int) {
    let mask: UInt64 = 1 &<< UInt64(truncatingIfNeeded: bit)
    if load(index) & mask == 0 { set(mask, at: index) }
  }

  /// Clears the bit only if a look at the word finds it set.
  @inline(__always)
  func drop(_ bit: Int, at index: Int) {
    let mask: UInt64 = 1 &<< UInt64(truncatingIfNeeded: bit)
    if load(index) & mask != 0 { clear(mask, at: index) }
  }

  /// One step of compare and exchange; on failure `expected` becomes what was found.
  @inline(__always)
  func exchange(_ expected: inout UInt64, for desired: UInt64, at index: Int) -> Bool {
    let (exchanged, original) = unsafe words[index].weakCompareExchange(
      expected: expected, desired: desired, ordering: .sequentiallyConsistent)
    expected = original
    return exchanged
  }

  /// Clears `bits` if all of them are set; false, and nothing changed, otherwise.
  @inline(__always)
  func take(_ bits: UInt64, at index: Int) -> Bool {
    var word = load(index)
    repeat {
      if word & bits != bits { return false }
    } while !exchange(&word, for: word & ~bits, at: index)
    return true
  }

  /// Sets `bits` if all of them are clear; false, and nothing changed, otherwise.
  @inline(__always)
  func give(_ bits: UInt64, at index: Int) -> Bool {
    var word = load(index)
    repeat {
      if word & bits != 0 { return false }
    } while !exchange(&word, for: word | bits, at: index)
    return true
  }
}

/// `count` set bits from `first` on, clipped to the word; `first` in 0..<64, `count` above 0.
@inline(__always)
func bits(from first: Int, count: Int) -> UInt64 {
  let upper: UInt64 = count >= 64 - first ? ~0 : (1 &<< UInt64(first &+ count)) &- 1
  return upper & (~0 &<< UInt64(first))
}
