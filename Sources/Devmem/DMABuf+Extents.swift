// SPDX-License-Identifier: Apache-2.0

internal import DevmemPagePool
internal import DevmemSystem
internal import Synchronization

extension DMABuf {
  /// The physically contiguous runs of the buffer, in dma-buf order; together they are all of it.
  ///
  /// With physical addresses where the pages are pinned and this process may read
  /// /proc/self/pagemap (CAP_SYS_ADMIN); else one run at offset 0 without an address. Computed at
  /// the first question (8 bytes per base page are read) and kept: pinned pages do not move.
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

  /// Whether the exporter is known to keep the pages where they are as long as the dma-buf lives.
  ///
  /// udmabuf pins them (memfd_pin_folios); heap pages cannot move. Pages of a bare memory file may
  /// migrate, and those of a DRM driver be swapped, so an address would mean nothing.
  private var hasPinnedPages: Bool {
    switch exporter {
    case .udmabuf, .dmaHeap: true
    case .imported(let exporterName): exporterName == "udmabuf" || exporterName == "system"
    case .drm, .memoryFile: false
    }
  }

  /// nil where the addresses cannot be known.
  private func physicalExtents() throws(Errno) -> [DMABufExtent]? {
    guard hasPinnedPages, let cpuFace else { return nil }
    let pageMap: PageMap
    do throws(Errno) {
      pageMap = try PageMap()
    } catch {
      switch error {
      case .ENOENT, .EACCES, .EPERM: return nil
      default: throw error
      }
    }
    let page = SystemProcess.pageByteCount
    let pageCount = byteCount / page
    // 4096 entries at a time: 32 KiB of buffer, however large the dma-buf.
    let chunkPageCount = 4096
    var builder = ExtentBuilder(pageByteCount: page)
    var first = 0
    while first < pageCount {
      let count = min(chunkPageCount, pageCount - first)
      // SAFETY: inside the face. A read, so that a page which is there gets its entry in the page
      // tables of this mapping: the page map shows those, not the pages.
      for index in first..<first + count {
        unsafe blackHole(cpuFace.baseAddress.load(fromByteOffset: index * page, as: UInt8.self))
      }
      guard
        let frames = try unsafe pageMap.frameNumbers(
          of: cpuFace.baseAddress + first * page, pageCount: count)
      else { return nil }
      for frame in frames { builder.append(frame) }
      first += count
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
