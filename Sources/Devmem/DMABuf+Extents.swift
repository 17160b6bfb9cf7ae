// SPDX-License-Identifier: Apache-2.0

internal import DevmemPagePool
internal import DevmemSystem
internal import Synchronization

extension DMABuf {
  /// The physically contiguous runs of the buffer, in dma-buf order; together they are all of it.
  ///
  /// With physical addresses for a udmabuf made here, whose pages are pinned, where this process
  /// may read /proc/self/pagemap (CAP_SYS_ADMIN); else one run at offset 0 without an address. The
  /// page map is asked through the memory file: it shows nothing of a dma-buf's own mapping, which
  /// is `VM_PFNMAP` and skipped by the kernel's page walker (mm/pagewalk.c). Computed at the first
  /// question (8 bytes per base page are read) and kept: pinned pages do not move.
  ///
  /// - Throws: ``DevmemError`` where reading fails for another reason than permission.
  public var extents: [DMABufExtent] {
    get throws(DevmemError) {
      if let known = cachedExtents.withLock({ $0 }) { return known }
      let runs: [DMABufExtent]
      do throws(Errno) {
        runs =
          try physicalExtents()
          ?? [DMABufExtent(offset: 0, byteCount: byteCount, address: nil)]
      } catch {
        throw .step("reading /proc/self/pagemap", error)
      }
      cachedExtents.withLock { $0 = runs }
      return runs
    }
  }

  /// nil where the addresses cannot be known, or would mean nothing: pages of a bare memory file
  /// may migrate at any time.
  private func physicalExtents() throws(Errno) -> [DMABufExtent]? {
    guard exporter == .udmabuf else { return nil }
    let pageMap: PageMap
    do throws(Errno) {
      pageMap = try PageMap()
    } catch {
      switch error {
      case .ENOENT, .EACCES, .EPERM: return nil
      default: throw error
      }
    }
    var builder = ExtentBuilder(pageByteCount: SystemProcess.pageByteCount)
    if let cpuMapping, cpuMapping.source == .memoryFile {
      // SAFETY: the range is the mapping's, which self keeps alive.
      let isKnown = try unsafe builder.append(
        cpuMapping.baseAddress, byteCount: byteCount, from: pageMap)
      return isKnown ? builder.finish() : nil
    }
    for range in memoryRanges {
      // The mapping could not be put together from the files: a range cuts a huge page. A file's
      // own mapping begins and ends on its pages.
      let filePage = range.file.pageSize.byteCount
      let start = range.offset / filePage * filePage
      let end = (range.offset + range.byteCount + filePage - 1) / filePage * filePage
      let mapping = try range.file.map(offset: start, byteCount: end - start)
      // SAFETY: inside the mapping, which lives to the end of this turn.
      let isKnown = try unsafe builder.append(
        mapping.baseAddress + (range.offset - start), byteCount: range.byteCount, from: pageMap)
      guard isKnown else { return nil }
    }
    return builder.finish()
  }
}

/// Keeps the compiler from dropping a load whose value nobody wants.
@inline(never)
private func blackHole(_ byte: UInt8) {}

/// Joins page frames that follow each other into runs.
struct ExtentBuilder {
  let pageByteCount: Int
  private var extents: [DMABufExtent] = []
  private var firstFrame: UInt64 = 0
  private var pageCount = 0
  private var offset = 0

  init(pageByteCount: Int) {
    self.pageByteCount = pageByteCount
  }

  /// Appends the frames behind a range of addresses; false where the kernel does not tell them.
  @unsafe mutating func append(
    _ address: UnsafeMutableRawPointer, byteCount: Int, from pageMap: borrowing PageMap
  ) throws(Errno) -> Bool {
    // 4096 entries at a time: 32 KiB of buffer, however large the dma-buf.
    let chunkPageCount = 4096
    var firstPage = 0
    let pageCount = byteCount / pageByteCount
    while firstPage < pageCount {
      let count = min(chunkPageCount, pageCount - firstPage)
      // A read, so that a page which is there gets its entry in the page tables of this mapping:
      // the page map shows those, not the pages.
      for page in firstPage..<firstPage + count {
        unsafe blackHole(address.load(fromByteOffset: page * pageByteCount, as: UInt8.self))
      }
      guard
        let frames = try unsafe pageMap.frameNumbers(
          of: address + firstPage * pageByteCount, pageCount: count)
      else { return false }
      for frame in frames { append(frame) }
      firstPage += count
    }
    return true
  }

  mutating func append(_ frame: UInt64) {
    if pageCount > 0, frame == firstFrame + UInt64(pageCount) {
      pageCount += 1
      return
    }
    endRun()
    firstFrame = frame
    pageCount = 1
  }

  mutating func finish() -> [DMABufExtent] {
    endRun()
    return extents
  }

  private mutating func endRun() {
    guard pageCount > 0 else { return }
    let byteCount = pageCount * pageByteCount
    extents.append(
      DMABufExtent(
        offset: offset, byteCount: byteCount,
        address: DeviceAddress(firstFrame * UInt64(pageByteCount), kind: .physical)))
    offset += byteCount
    pageCount = 0
  }
}
