// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool
internal import Synchronization

/// The plainest provider there is: heap memory and a list of free indices.
///
/// For tests of what stands on a pool: it says how many buffers are out and how large each refill
/// was, can pretend to be device memory with or without a CPU mapping, and traps when a pool breaks
/// the contract (releases a buffer twice or one that it was not given, detaches without being
/// attached). Takes a lock in every call; any thread.
public final class ListProvider: MemoryProvider {
  /// `list`
  public let name = "list"
  /// All the buffers.
  public let slab: NetIOVSlab
  private let contents: Mutex<Contents>

  private struct Contents {
    var free: [Int]
    var out: Set<Int> = []
    var attached: Set<UInt64> = []
    var refillSizes: [Int] = []
  }

  /// Heap memory behind the IOVs; nil when the CPU is not to reach them.
  @safe
  private final class Backing: @unchecked Sendable {
    // SAFETY: both are allocated in init, freed in deinit and never change.
    let memory: UnsafeMutableRawPointer
    let access: UnsafeMutablePointer<CPUAccessState>
    init(byteCount: Int) {
      unsafe memory = .allocate(byteCount: byteCount, alignment: 4096)
      unsafe access = .allocate(capacity: 1)
      unsafe access.initialize(to: CPUAccessState())
    }
    deinit {
      unsafe memory.deallocate()
      unsafe access.deinitialize(count: 1)
      unsafe access.deallocate()
    }
  }
  private let backing: Backing

  /// Allocates the memory.
  /// - Parameters:
  ///   - iovCount: number of buffers, 1 or more.
  ///   - iovByteCount: size of each in bytes, a power of two, 256 B ... 1 GiB.
  ///   - kind: what the buffers say that they are. `.device` ones can be read and written while
  ///     ``setAccess(readers:writers:)`` says so, and have made-up physical addresses.
  ///   - node: the NUMA node that they say they lie on.
  ///   - hasCPUMapping: false makes memory that the CPU cannot read.
  /// - Throws: `NetIOVSlabError` for counts that cannot be.
  public init(
    iovCount: Int, iovByteCount: Int = 4096, kind: Netmem.Kind = .host, node: Int? = nil,
    hasCPUMapping: Bool = true
  ) throws {
    backing = Backing(byteCount: iovCount * iovByteCount)
    let base = unsafe backing.memory
    slab = try unsafe NetIOVSlab(
      iovByteCount: iovByteCount,
      layout: [
        NetIOVArea.Layout(
          baseVirtual: 0,
          baseAddress: DeviceAddress(
            UInt64(UInt(bitPattern: base)), kind: kind == .host ? .virtual : .physical),
          iovCount: iovCount, kind: kind, node: node, cpuBase: hasCPUMapping ? base : nil,
          access: kind == .device ? backing.access : nil)
      ], backing: backing)
    contents = Mutex(Contents(free: Array((0..<iovCount).reversed())))
  }

  /// Opens or closes pretended CPU access brackets of device memory: how many allow reading, and
  /// how many writing. Both are 0 at the start.
  public func setAccess(readers: UInt32, writers: UInt32) {
    unsafe backing.access.pointee.readerCount.store(readers, ordering: .relaxed)
    unsafe backing.access.pointee.writerCount.store(writers, ordering: .relaxed)
  }

  /// IOVs that pools have now.
  public var outCount: Int { contents.withLock { $0.out.count } }
  /// Pools attached now.
  public var attachedCount: Int { contents.withLock { $0.attached.count } }
  /// How many IOVs each refill gave, the first one first.
  public var refillSizes: [Int] { contents.withLock { $0.refillSizes } }

  /// The one slab. Never fails.
  public func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] {
    contents.withLock { _ = $0.attached.insert(pool.id) }
    return [slab]
  }

  /// Appends free buffers, those that came back last first.
  public func refill(
    _ span: inout OutputSpan<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    let taken = contents.withLock { contents in
      let taken = Array(contents.free.suffix(span.freeCapacity).reversed())
      contents.free.removeLast(taken.count)
      contents.out.formUnion(taken)
      contents.refillSizes.append(taken.count)
      return taken
    }
    for index in taken { span.append(slab[index]) }
  }

  /// Takes buffers back.
  /// - Precondition: each is out.
  public func release(
    _ iovs: Span<NetIOVReference>, _ access: borrowing MemoryProviderAccess
  ) {
    for position in iovs.indices {
      guard let index = slab.index(of: iovs[position]) else {
        fatalError("the pool released a buffer that is not of this provider")
      }
      contents.withLock { contents in
        precondition(contents.out.remove(index) != nil, "the pool released a buffer twice")
        contents.free.append(index)
      }
    }
  }

  /// Forgets the pool.
  /// - Precondition: it is attached.
  public func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    contents.withLock {
      precondition($0.attached.remove(pool.id) != nil, "detached without being attached")
    }
  }
}
