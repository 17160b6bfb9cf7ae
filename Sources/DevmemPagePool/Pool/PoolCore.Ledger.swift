// SPDX-License-Identifier: Apache-2.0

import Synchronization

extension PagePool {
  private static let debugging = Atomic<Bool>(false)

  /// Whether pools that are made from now on keep a ledger: who holds what since when, and whether
  /// somebody writes to host memory that was returned. Any thread.
  ///
  /// Such a pool's cache is out of use, so that every allocation and return comes past the ledger,
  /// which takes a lock. Other pools pay nothing, not one instruction.
  public static var isDebugging: Bool {
    get { debugging.load(ordering: .relaxed) }
    set { debugging.store(newValue, ordering: .relaxed) }
  }

  /// A buffer that is out, in a pool with a ledger.
  public struct Holding: Sendable, CustomStringConvertible {
    /// Where it was allocated.
    public let site: CallSite
    /// How long ago.
    public let age: Duration
    /// Offset of the buffer from the start of its dma-buf or mapping, in bytes.
    public let offset: UInt64

    /// `offset 0x5000, for 3.2 seconds, from Module/File.swift:42`
    public var description: String {
      "offset 0x\(String(offset, radix: 16)), for \(age), from \(site)"
    }
  }
}

extension PoolCore {
  /// Who holds what since when. Any thread.
  ///
  /// Host memory is filled with a pattern when it comes back, and must still have it when it is
  /// taken again; between and behind fragments lie canaries. Device memory is not touched: it would
  /// take an access bracket, and a device may be at it.
  final class Ledger: Sendable {
    private struct Page {
      var iov: RecordReference
      var site: PagePool.CallSite
      var since: ContinuousClock.Instant
      /// Where canaries stand, as offsets in the buffer.
      var canaries: [Range<Int>] = []
    }

    private struct Pages {
      var held: [UInt32: Page] = [:]
      /// Buffers that lie in the pool and have the pattern, and where they were taken last.
      var poisoned: [UInt32: PagePool.CallSite] = [:]
    }
    private let pages = Mutex(Pages())

    /// 0x6b, POISON_FREE in include/linux/poison.h.
    static var freedByte: UInt8 { 0x6b }
    /// 0xbb, SLUB_RED_INACTIVE in the same.
    static var canaryByte: UInt8 { 0xbb }

    func taken(_ iov: RecordReference, at site: PagePool.CallSite) {
      let index = unsafe iov.record.pointee.index
      let last = pages.withLock { pages in
        pages.held[index] = Page(iov: iov, site: site, since: .now)
        return pages.poisoned.removeValue(forKey: index)
      }
      guard let last else { return }
      unsafe Self.withHostBytes(of: iov) { bytes in
        guard let position = unsafe bytes.firstIndex(where: { $0 != Self.freedByte }) else {
          return
        }
        fatalError(
          """
          PagePool: byte \(position) of the buffer at offset \(iov.offset) was written after the \
          buffer was returned; it was last allocated at \(last)
          """)
      }
    }

    func returned(_ iov: RecordReference) {
      let index = unsafe iov.record.pointee.index
      let page = pages.withLock { pages in
        let page = pages.held.removeValue(forKey: index)
        if let page, iov.area.kind == .host { pages.poisoned[index] = page.site }
        return page
      }
      guard let page else { return }
      unsafe Self.withHostBytes(of: iov) { bytes in
        for canary in page.canaries {
          guard unsafe bytes[canary].allSatisfy({ $0 == Self.canaryByte }) else {
            fatalError(
              """
              PagePool: something was written past the end of a fragment, into byte \
              \(canary.lowerBound) or behind of the buffer at offset \(iov.offset), which was \
              allocated at \(page.site)
              """)
          }
        }
        unsafe bytes.update(repeating: Self.freedByte)
      }
    }

    /// Puts a canary behind a fragment.
    func guardBytes(_ range: Range<Int>, of iov: RecordReference) {
      guard !range.isEmpty, iov.area.kind == .host else { return }
      unsafe Self.withHostBytes(of: iov) { bytes in
        for position in range { unsafe bytes[position] = Self.canaryByte }
      }
      pages.withLock { pages in
        let index = unsafe iov.record.pointee.index
        pages.held[index]?.canaries.append(range)
      }
    }

    /// Everything that is out, oldest first.
    var holdings: [PagePool.Holding] {
      let now = ContinuousClock.now
      return pages.withLock { Array($0.held.values) }
        .map { PagePool.Holding(site: $0.site, age: now - $0.since, offset: $0.iov.offset) }
        .sorted { $0.age > $1.age }
    }

    private static func withHostBytes(
      of iov: RecordReference, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void
    ) {
      let area = iov.area
      guard area.kind == .host, let base = unsafe area.cpuBase else { return }
      let start = unsafe base + iov.indexInArea << Int(area.iovShift)
      unsafe body(
        UnsafeMutableBufferPointer(
          start: start.assumingMemoryBound(to: UInt8.self), count: area.iovByteCount))
    }
  }
}
