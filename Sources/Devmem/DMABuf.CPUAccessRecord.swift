// SPDX-License-Identifier: Apache-2.0

internal import DevmemPagePool
internal import DevmemSystem
internal import Synchronization

extension DMABuf {
  /// A ``CPUAccessState`` at an address that lasts as long as its buffer: what the pool's handles
  /// look at to know whether they are inside a bracket.
  @safe final class CPUAccessRecord: Sendable {
    // SAFETY: allocated and initialised in init, freed in deinit, never replaced in between.
    nonisolated(unsafe) let state: UnsafeMutablePointer<CPUAccessState>

    init() {
      unsafe state = .allocate(capacity: 1)
      unsafe state.initialize(to: CPUAccessState())
    }

    deinit {
      unsafe state.deinitialize(count: 1)
      unsafe state.deallocate()
    }

    // Acquire and release: who sees the bracket open also sees what its START made visible.
    func open(_ access: DMABufAccess) {
      if access.contains(.read) { unsafe state.pointee.readerCount.add(1, ordering: .acquiring) }
      if access.contains(.write) { unsafe state.pointee.writerCount.add(1, ordering: .acquiring) }
    }

    func close(_ access: DMABufAccess) {
      if access.contains(.read) {
        unsafe state.pointee.readerCount.subtract(1, ordering: .releasing)
      }
      if access.contains(.write) {
        unsafe state.pointee.writerCount.subtract(1, ordering: .releasing)
      }
    }

    func isOpen(for access: DMABufAccess) -> Bool {
      if access.contains(.read),
        unsafe state.pointee.readerCount.load(ordering: .acquiring) == 0
      {
        return false
      }
      if access.contains(.write),
        unsafe state.pointee.writerCount.load(ordering: .acquiring) == 0
      {
        return false
      }
      return true
    }
  }
}
