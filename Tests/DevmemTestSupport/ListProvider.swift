// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool
import Synchronization

/// The plainest provider there is: heap memory and a list of free indices. It remembers enough to
/// catch a pool that breaks the contract.
package final class ListProvider: MemoryProvider {
  package let name = "list"
  package let slab: NetIOVSlab
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

  /// - Parameter hasCPUFace: false makes device memory that the CPU cannot read.
  package init(
    iovCount: Int, iovByteCount: Int = 4096, kind: Netmem.Kind = .host, node: Int? = nil,
    hasCPUFace: Bool = true
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
          iovCount: iovCount, kind: kind, node: node, cpuBase: hasCPUFace ? base : nil,
          access: kind == .device ? backing.access : nil)
      ], backing: backing)
    contents = Mutex(Contents(free: Array((0..<iovCount).reversed())))
  }

  /// Opens or closes a pretended CPU access bracket.
  package func setAccess(readers: UInt32, writers: UInt32) {
    unsafe backing.access.pointee.readerCount.store(readers, ordering: .relaxed)
    unsafe backing.access.pointee.writerCount.store(writers, ordering: .relaxed)
  }

  /// IOVs that pools have now.
  package var outCount: Int { contents.withLock { $0.out.count } }
  /// Pools attached now.
  package var attachedCount: Int { contents.withLock { $0.attached.count } }
  /// How many IOVs each refill gave.
  package var refillSizes: [Int] { contents.withLock { $0.refillSizes } }

  package func attach(
    to pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess
  ) -> [NetIOVSlab] {
    contents.withLock { _ = $0.attached.insert(pool.id) }
    return [slab]
  }

  package func refill(
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

  package func release(
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

  package func detach(from pool: PagePool.Identity, _ access: borrowing MemoryProviderAccess) {
    contents.withLock {
      precondition($0.attached.remove(pool.id) != nil, "detached without being attached")
    }
  }
}
