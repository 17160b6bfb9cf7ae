// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
public import DevmemPagePool

/// Hands out slices of a carving in another size than the carving's own, from the same chunks.
///
/// Smaller slices (down to 256 bytes) are cut from single IOVs, which are taken from the carving
/// when needed and given back when all their slices are. Larger ones (up to 2 MiB) are runs of
/// IOVs, aligned to their size in the device's address space. So pools of several sizes live off
/// one carving without a fixed split, and no byte is ever in two of them. Lock-free; any thread.
///
/// Each size has records of its own: 32 bytes for each slice that the carving has room for, taken
/// when the provider is made.
public final class SizeClassMemoryProvider: MemoryProvider {
  /// The carving whose memory this is, kept alive.
  package let carving: DMABufCarving
  /// Size of each slice in bytes.
  public let iovByteCount: Int
  private let slices: any SliceSource

  /// A provider of slices of `iovByteCount` bytes.
  /// - Parameters:
  ///   - carving: shared with other providers at will.
  ///   - iovByteCount: a power of two from 256 to 2097152.
  /// - Throws: ``DevmemError``: `.invalidIOVByteCount`, `.cannotCarve` when no run of the carving
  ///   holds one slice, or `.outOfMemory` for more slices than there is memory for.
  public init(_ carving: DMABufCarving, iovByteCount: Int) throws(DevmemError) {
    let operation = "cut slices of \(iovByteCount) bytes from IOVs of \(carving.iovByteCount)"
    guard (256...2 << 20).contains(iovByteCount), iovByteCount & (iovByteCount - 1) == 0 else {
      throw DevmemError(
        .invalidIOVByteCount, operation, remedy: "Use a power of two from 256 to 2097152.")
    }
    // Smaller slices only: larger ones are fewer than the carving's own IOVs.
    let factor = max(1, carving.iovByteCount / iovByteCount)
    if factor > 1 { try DMABuf.checkRecords(iovCount: carving.iovCount * factor, operation) }
    do {
      slices =
        iovByteCount <= carving.iovByteCount
        ? try SmallSlices(carving, iovByteCount) : try LargeSlices(carving, iovByteCount)
    } catch {
      throw DevmemError(
        .cannotCarve, operation, cause: "\(error)",
        remedy: "Carve with addressing: .bufferOffset, or use huge pages.")
    }
    self.carving = carving
    self.iovByteCount = iovByteCount
  }

  /// `dmabuf/512`
  public var name: String { "dmabuf/\(iovByteCount)" }

  /// The one slab of this size. Never fails.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] { [slices.slab] }

  /// Appends free slices.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { slices.refill(&span) }

  /// Takes slices back.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) { slices.release(iovs) }

  /// Nothing is kept per pool.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {}
}

/// How slices of one size come out of a carving's IOVs.
private protocol SliceSource: Sendable {
  var slab: NetIOVSlab { get }
  func refill(_ span: inout OutputSpan<NetIOVReference>)
  func release(_ iovs: Span<NetIOVReference>)
}

/// Slices of single IOVs.
///
/// An allocator of its own covers every slice that could be; those of IOVs that the carving has are
/// marked as taken in it. Taking an IOV from the carving frees its slices here. An IOV goes back
/// once all its slices can be taken here in one go, which only one thread can succeed in.
private final class SmallSlices: SliceSource {
  let slab: NetIOVSlab
  private let carving: DMABufCarving
  private let slices: IOVAllocator
  private let place: IOVAllocator.Place
  private let slicesPerIOV: Int

  init(_ carving: DMABufCarving, _ byteCount: Int) throws {
    self.carving = carving
    slicesPerIOV = carving.iovByteCount / byteCount
    let factor = slicesPerIOV
    slab = try NetIOVSlab(
      iovByteCount: byteCount,
      layout: carving.chunkOwners.map { owner in
        carving.buffer.area(of: owner, iovCount: owner.iovCount * factor)
      }, backing: carving.buffer)
    let pool = try GenPool(granuleByteCount: byteCount)
    var chunks: [GenPool.Chunk] = []
    for owner in carving.chunkOwners {
      let chunk = try pool.addChunk(
        base: owner.baseAddress.rawValue, byteCount: owner.iovCount * carving.iovByteCount,
        node: owner.node, owner: owner)
      _ = pool.allocate(granules: 0..<chunk.granuleCount, in: chunk)
      chunks.append(chunk)
    }
    slices = IOVAllocator(pool: pool, chunks: chunks, slab: slab)
    place = IOVAllocator.Place(in: slices)
  }

  func refill(_ span: inout OutputSpan<NetIOVReference>) {
    slices.refill(&span, from: place)
    while !span.isFull, let iov = carving.genpool.allocateGranule() {
      let chunk = slices.chunks[iov.chunk.slot]
      let address = chunk.address(ofGranule: iov.index * slicesPerIOV)
      do {
        try slices.pool.free(address: address, byteCount: carving.iovByteCount)
      } catch {
        preconditionFailure("slices of an IOV that the carving had were free: \(error)")
      }
      slices.refill(&span, from: place)
    }
  }

  func release(_ iovs: Span<NetIOVReference>) {
    slices.release(iovs)
    var last = (chunk: -1, iov: -1)
    for position in iovs.indices {
      let iov = iovs[position]
      let place = (
        chunk: Int(slab.area(of: iov).context), iov: slab.indexInArea(of: iov) / slicesPerIOV
      )
      guard place != last else { continue }
      last = place
      releaseIfWhole(place.iov, chunk: place.chunk)
    }
  }

  private func releaseIfWhole(_ iov: Int, chunk: Int) {
    let granules = iov * slicesPerIOV..<(iov + 1) * slicesPerIOV
    guard slices.pool.allocate(granules: granules, in: slices.chunks[chunk]) != nil else { return }
    do {
      try carving.genpool.free(granule: iov, in: carving.allocator.chunks[chunk])
    } catch {
      preconditionFailure("an IOV was given back that was not out: \(error)")
    }
  }
}

/// Runs of IOVs.
private final class LargeSlices: SliceSource {
  let slab: NetIOVSlab
  private let carving: DMABufCarving
  private let byteCount: Int
  /// For each chunk of the carving the position in the slab of the slice at its first aligned
  /// address; nil for chunks too short for a slice.
  private let firstSlices: [Int?]

  private struct TooShort: Error, CustomStringConvertible {
    let description = "no contiguous run of the carving holds one slice"
  }

  init(_ carving: DMABufCarving, _ byteCount: Int) throws {
    self.carving = carving
    self.byteCount = byteCount
    var layout: [NetIOVArea.Layout] = []
    var firstSlices: [Int?] = []
    var count = 0
    for owner in carving.chunkOwners {
      let skipped = Self.skippedByteCount(owner.baseAddress, byteCount)
      let fitting = (owner.iovCount * carving.iovByteCount - skipped) / byteCount
      guard fitting > 0 else {
        firstSlices.append(nil)
        continue
      }
      firstSlices.append(count)
      layout.append(carving.buffer.area(of: owner, iovCount: fitting, skipping: skipped))
      count += fitting
    }
    guard count > 0 else { throw TooShort() }
    self.firstSlices = firstSlices
    slab = try NetIOVSlab(iovByteCount: byteCount, layout: layout, backing: carving.buffer)
  }

  /// Bytes from an address to the next multiple of a slice.
  private static func skippedByteCount(_ address: DeviceAddress, _ byteCount: Int) -> Int {
    Int((0 &- address.rawValue) & UInt64(byteCount - 1))
  }

  func refill(_ span: inout OutputSpan<NetIOVReference>) {
    while !span.isFull,
      let run = carving.genpool.allocate(
        byteCount: byteCount, strategy: .firstFitAligned(to: byteCount))
    {
      let owner = carving.chunkOwners[run.chunk.slot]
      guard let first = firstSlices[run.chunk.slot] else {
        preconditionFailure("a run was found in a chunk that holds none")
      }
      let skipped = Self.skippedByteCount(owner.baseAddress, byteCount)
      let offset = Int(run.address - owner.baseAddress.rawValue) - skipped
      span.append(slab[first + offset / byteCount])
    }
  }

  func release(_ iovs: Span<NetIOVReference>) {
    for position in iovs.indices {
      let iov = iovs[position]
      let address = slab.area(of: iov).baseAddress.advanced(
        by: slab.indexInArea(of: iov) * byteCount)
      do {
        try carving.genpool.free(address: address.rawValue, byteCount: byteCount)
      } catch {
        preconditionFailure("a slice was given back that was not out: \(error)")
      }
    }
  }
}
