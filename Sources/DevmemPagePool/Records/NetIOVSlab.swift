// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The records of all the IOVs that one provider can hand out, and what they have in common.
///
/// Counterpart of the `niovs` arrays that `net_devmem_bind_dmabuf` makes, one array for the whole
/// binding, so that an IOV is found from its index by arithmetic. The slab keeps the memory behind
/// the IOVs alive (`backing`); pools keep the slab alive while buffers of it are out.
/// Immutable, hence safe to use from any thread.
@safe
public final class NetIOVSlab: Sendable {
  // SAFETY: `areas` and `records` are allocated in init for `areaCount` and `iovCount` elements,
  // fully initialised there and freed in deinit; neither pointer ever changes.
  nonisolated(unsafe) let areas: UnsafeMutablePointer<NetIOVArea>
  @usableFromInline nonisolated(unsafe) let records: UnsafeMutablePointer<NetIOV>
  /// Number of areas.
  package let areaCount: Int
  /// Number of IOVs in all areas.
  public let iovCount: Int
  /// Size of each IOV in bytes, a power of two from 256 B to 1 GiB.
  public let iovByteCount: Int
  /// The object that keeps the memory valid: a binding, a mapping.
  package let backing: any AnyObject & Sendable
  /// First of `iovCount` indices that no other living slab of the process has.
  @usableFromInline let firstIndex: UInt32
  /// Where the generations of its records began.
  private let firstGeneration: UInt32

  deinit {
    // A token of this slab must not fit the next one that gets these indices: that one begins
    // above.
    var used: UInt32 = 0
    for position in 0..<iovCount {
      let generation = unsafe records[position].generation.load(ordering: .relaxed)
      used = max(used, generation &- firstGeneration)
    }
    unsafe records.deinitialize(count: iovCount)
    unsafe records.deallocate()
    unsafe areas.deinitialize(count: areaCount)
    unsafe areas.deallocate()
    NetIOVIndexSpace.shared.release(
      firstIndex, count: UInt32(iovCount), nextGeneration: (firstGeneration &+ used &+ 3) & ~1)
  }

  /// Makes the records for the runs of `layout`, in that order.
  ///
  /// Costs 32 bytes an IOV and 80 bytes an area.
  /// - Parameters:
  ///   - iovByteCount: size of each IOV, a power of two, 256 B ... 1 GiB.
  ///   - layout: the runs, each with at least one IOV.
  ///   - backing: what keeps the memory of `layout` valid; released after the last buffer is back.
  /// - Throws: ``NetIOVSlabError``; nothing is kept then.
  public init(
    iovByteCount: Int, layout: [NetIOVArea.Layout], backing: any AnyObject & Sendable
  ) throws(NetIOVSlabError) {
    guard iovByteCount >= 256, iovByteCount <= 1 << 30,
      iovByteCount & (iovByteCount - 1) == 0
    else { throw .invalidIOVByteCount(iovByteCount) }
    var count = 0
    for run in layout {
      guard run.iovCount > 0 else { throw .emptyArea }
      count += run.iovCount
    }
    guard count > 0 else { throw .emptyArea }
    guard let firstIndex = NetIOVIndexSpace.shared.take(count: count) else {
      throw .indexSpaceExhausted(iovCount: count)
    }

    let generation = firstIndex.generation
    firstGeneration = generation
    unsafe areas = .allocate(capacity: layout.count)
    unsafe records = .allocate(capacity: count)
    areaCount = layout.count
    iovCount = count
    self.iovByteCount = iovByteCount
    self.backing = backing
    self.firstIndex = firstIndex.value

    var first = 0
    for (position, run) in layout.enumerated() {
      let area = unsafe areas + position
      unsafe area.initialize(
        to: NetIOVArea(
          records: records + first, baseVirtual: run.baseVirtual,
          baseAddressValue: run.baseAddress.rawValue, cpuBase: run.cpuBase, access: run.access,
          firstIndex: UInt32(first), iovCount: UInt32(run.iovCount),
          nodeValue: run.node.map(Int32.init) ?? -1,
          iovShift: UInt8(iovByteCount.trailingZeroBitCount), kind: run.kind,
          addressKind: run.baseAddress.kind, context: run.context))
      for index in first..<first + run.iovCount {
        unsafe (records + index).initialize(
          to: NetIOV(
            area: area, index: firstIndex.value &+ UInt32(index), generation: generation))
      }
      first += run.iovCount
    }
  }

  /// The IOV at a position of the slab.
  /// - Precondition: `0 <= index < iovCount`.
  public subscript(index: Int) -> NetIOVReference {
    precondition(index >= 0 && index < iovCount, "IOV index outside the slab")
    return NetIOVReference(index: firstIndex &+ UInt32(index))
  }

  /// The area at a position.
  /// - Precondition: `0 <= position < areaCount`.
  package func area(at position: Int) -> NetIOVArea {
    precondition(position >= 0 && position < areaCount, "area position outside the slab")
    return unsafe areas[position]
  }

  /// Where an IOV lies in the slab, or nil if it is not of this slab.
  public func index(of iov: NetIOVReference) -> Int? {
    let distance = Int(iov.index &- firstIndex)
    return distance < iovCount ? distance : nil
  }

  /// The run that an IOV belongs to.
  /// - Precondition: it is of this slab.
  public func area(of iov: NetIOVReference) -> NetIOVArea { reference(of: iov).area }

  /// Position of an IOV in its run, from 0 (`net_iov_idx`).
  /// - Precondition: it is of this slab.
  package func indexInArea(of iov: NetIOVReference) -> Int { reference(of: iov).indexInArea }

  /// Offset of an IOV from the start of its dma-buf or mapping, in bytes (`net_iov_virtual_addr`).
  /// - Precondition: it is of this slab.
  public func offset(of iov: NetIOVReference) -> UInt64 { reference(of: iov).offset }

  /// Whether an IOV is out: some pool has it, in its cache or with a user.
  /// - Precondition: it is of this slab.
  public func isOut(_ iov: NetIOVReference) -> Bool {
    unsafe reference(of: iov).record.pointee.pool.load(ordering: .relaxed) != nil
  }

  /// Both at once, in few instructions: the number that the provider gave the run, and the position
  /// in it.
  @inlinable
  package func place(of iov: NetIOVReference) -> (context: UInt64, indexInArea: Int) {
    let distance = Int(iov.index &- firstIndex)
    precondition(distance < iovCount, "the IOV is not of this slab")
    let record = unsafe records + distance
    let area = unsafe record.pointee.area
    return unsafe (area.pointee.context, record - area.pointee.records)
  }

  private func reference(of iov: NetIOVReference) -> RecordReference {
    guard let index = index(of: iov) else { fatalError("the IOV is not of this slab") }
    return unsafe RecordReference(record: records + index)
  }
}

/// Why a slab could not be made.
public enum NetIOVSlabError: Error, Hashable, CustomStringConvertible {
  /// The IOV size is no power of two between 256 B and 1 GiB.
  case invalidIOVByteCount(Int)
  /// A run has no IOV in it, or there is no run.
  case emptyArea
  /// All 2^32 IOV indices of the process are in use.
  case indexSpaceExhausted(iovCount: Int)

  /// What is wrong and what to do.
  public var description: String {
    switch self {
    case .invalidIOVByteCount(let count):
      "an IOV of \(count) bytes is not possible: use a power of two from 256 to 1073741824"
    case .emptyArea:
      "every area needs at least one IOV: use a smaller IOV size or a larger buffer"
    case .indexSpaceExhausted(let count):
      "no room for \(count) more IOVs (a process can have 2^32): use larger IOVs"
    }
  }
}
