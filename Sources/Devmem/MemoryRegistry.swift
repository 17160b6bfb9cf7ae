// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem
internal import Synchronization

/// Which memory of this process is bound: refuses to bind the same bytes twice.
///
/// The kernel lets one dma-buf be bound twice, and the two bindings then hand out the same bytes;
/// so would two dma-bufs over overlapping ranges of one memory file. The registry knows dma-bufs by
/// inode, through whichever descriptor they came, and the memory-file ranges beneath those that were
/// made here. What lies beneath an imported dma-buf the kernel does not tell.
///
/// All members may be called from any thread.
public enum MemoryRegistry {
  private struct Entry {
    let number: UInt64
    let identity: FileIdentity
    let ranges: [FileIdentity: [Range<Int>]]

    func overlaps(_ other: Entry) -> Bool {
      if identity == other.identity { return true }
      for (file, ours) in ranges {
        guard let theirs = other.ranges[file] else { continue }
        if ours.contains(where: { range in theirs.contains(where: range.overlaps) }) { return true }
      }
      return false
    }
  }

  private struct State {
    var entries: [Entry] = []
    var nextNumber: UInt64 = 0
  }

  private static let state = Mutex(State())

  /// Claims the memory of a buffer until the claim ends.
  ///
  /// - Throws: ``DevmemError/Code/alreadyBound`` if any byte of it is claimed.
  public static func claim(for buffer: DMABuf) throws(DevmemError) -> MemoryClaim {
    let ranges = Dictionary(grouping: buffer.memoryRanges, by: \.file.identity)
      .mapValues { $0.map(\.positions) }
    let number: UInt64? = state.withLock { state in
      let entry = Entry(number: state.nextNumber, identity: buffer.identity, ranges: ranges)
      if state.entries.contains(where: entry.overlaps) { return nil }
      state.nextNumber += 1
      state.entries.append(entry)
      return entry.number
    }
    guard let number else {
      throw DevmemError(
        .alreadyBound, "binding the dma-buf with inode \(buffer.inode)",
        remedy: "Its memory is bound already, and two bindings would hand out the same bytes:"
          + " share the binding, or end it first.")
    }
    return MemoryClaim(number: number)
  }

  /// Claims that are held now.
  public static var claimCount: Int { state.withLock { $0.entries.count } }

  fileprivate static func release(_ number: UInt64) {
    state.withLock { state in
      state.entries.removeAll { $0.number == number }
    }
  }
}

/// The right to hand out a buffer's bytes; ends with the value.
public struct MemoryClaim: ~Copyable, Sendable {
  private let number: UInt64

  fileprivate init(number: UInt64) {
    self.number = number
  }

  deinit {
    MemoryRegistry.release(number)
  }
}
