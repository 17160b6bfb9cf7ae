// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem
internal import Synchronization

/// Which memory of this process is bound: refuses to bind the same bytes twice.
///
/// The kernel lets one dma-buf be bound twice, and the two bindings then hand out the same bytes;
/// so would two dma-bufs over overlapping ranges of one memory file. The registry knows dma-bufs by
/// inode, through whichever descriptor they came, and the memory-file ranges beneath those that
/// were made here, also when such a dma-buf comes back as an import. What lies beneath another's
/// dma-buf the kernel does not tell.
///
/// All members may be called from any thread.
package enum MemoryRegistry {
  private struct Entry {
    let number: UInt64
    /// Claims of one group know of each other.
    let group: UInt64
    let identity: FileIdentity
    let ranges: [FileIdentity: [Range<Int>]]

    func overlaps(_ other: Entry) -> Bool {
      if group == other.group { return false }
      if identity == other.identity { return true }
      for (file, ours) in ranges {
        guard let theirs = other.ranges[file] else { continue }
        if ours.contains(where: { range in theirs.contains(where: range.overlaps) }) { return true }
      }
      return false
    }
  }

  /// What lies beneath a dma-buf that was made here.
  private struct Beneath {
    let ranges: [FileIdentity: [Range<Int>]]
    /// A descriptor of it may be anywhere.
    var isOut = false
  }

  private struct State {
    var entries: [Entry] = []
    /// By dma-buf. Those that are out stay for ever, some hundred bytes each: the kernel gives no
    /// dma-buf's inode number to another, and an import may come at any time.
    var beneath: [FileIdentity: Beneath] = [:]
    var nextNumber: UInt64 = 0
  }

  private static let state = Mutex(State())

  /// Claims the memory of a buffer until the claim ends.
  ///
  /// - Parameter other: a claim on the same bytes whose owner shares them with this one: neither
  ///   hands out a byte that the other has out.
  /// - Throws: ``DevmemError/Code/alreadyBound`` if any byte of it is claimed by somebody else.
  package static func claim(
    for buffer: DMABuf, beside other: borrowing MemoryClaim
  ) throws(DevmemError) -> MemoryClaim {
    try claim(buffer, group: other.group)
  }

  /// Claims the memory of a buffer until the claim ends.
  ///
  /// - Throws: ``DevmemError/Code/alreadyBound`` if any byte of it is claimed.
  package static func claim(for buffer: DMABuf) throws(DevmemError) -> MemoryClaim {
    try claim(buffer, group: nil)
  }

  private static func claim(
    _ buffer: DMABuf, group: UInt64?
  ) throws(DevmemError) -> MemoryClaim {
    let ownRanges = positions(of: buffer.memoryRanges)
    let claimed: Entry? = state.withLock { state in
      let ranges =
        ownRanges.isEmpty ? state.beneath[buffer.identity]?.ranges ?? [:] : ownRanges
      let entry = Entry(
        number: state.nextNumber, group: group ?? state.nextNumber, identity: buffer.identity,
        ranges: ranges)
      if state.entries.contains(where: entry.overlaps) { return nil }
      state.nextNumber += 1
      state.entries.append(entry)
      return entry
    }
    guard let claimed else {
      throw DevmemError(
        .alreadyBound, "binding the dma-buf with inode \(buffer.inode)",
        remedy: "Its memory is bound already, and two bindings would hand out the same bytes:"
          + " share the binding, or end it first.")
    }
    return MemoryClaim(number: claimed.number, group: claimed.group)
  }

  private static func positions(
    of ranges: [DMABuf.MemoryRange]
  ) -> [FileIdentity: [Range<Int>]] {
    Dictionary(grouping: ranges, by: \.file.identity).mapValues { $0.map(\.positions) }
  }

  /// Notes what lies beneath a dma-buf that was made here.
  static func note(_ identity: FileIdentity, over ranges: [DMABuf.MemoryRange]) {
    let beneath = Beneath(ranges: positions(of: ranges))
    state.withLock { $0.beneath[identity] = beneath }
  }

  /// A descriptor of the dma-buf is given out, or came in: what is known of it stays known.
  static func keep(_ identity: FileIdentity) {
    state.withLock { $0.beneath[identity]?.isOut = true }
  }

  /// The buffer that was made here has gone.
  static func forget(_ identity: FileIdentity) {
    state.withLock { state in
      if state.beneath[identity]?.isOut == false { state.beneath[identity] = nil }
    }
  }

  /// Claims that are held now.
  package static var claimCount: Int { state.withLock { $0.entries.count } }

  fileprivate static func release(_ number: UInt64) {
    state.withLock { state in
      state.entries.removeAll { $0.number == number }
    }
  }
}

/// The right to hand out a buffer's bytes; ends with the value.
package struct MemoryClaim: ~Copyable, Sendable {
  private let number: UInt64
  fileprivate let group: UInt64

  fileprivate init(number: UInt64, group: UInt64) {
    self.number = number
    self.group = group
  }

  deinit {
    MemoryRegistry.release(number)
  }
}
