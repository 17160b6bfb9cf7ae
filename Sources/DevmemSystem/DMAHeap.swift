// SPDX-License-Identifier: Apache-2.0

/// A dma-buf heap, `/dev/dma_heap/NAME` (drivers/dma-buf/dma-heap.c).
package struct DMAHeap: ~Copyable, Sendable {
  /// Where the heaps are.
  package static let directory = "/dev/dma_heap"

  /// The heap's name, "system".
  package let name: String

  private let descriptor: OwnedFileDescriptor

  /// The names of all heaps, sorted; empty on a kernel without heaps.
  ///
  /// - Throws: `EACCES`.
  package static func names() throws(Errno) -> [String] {
    do {
      return try SystemFile.names(in: directory)
    } catch {
      if error == .ENOENT { return [] }
      throw error
    }
  }

  /// Opens a heap.
  ///
  /// - Throws: `EINVAL` for a name with a slash, `ENOENT` (no such heap, or a kernel without
  ///   CONFIG_DMABUF_HEAPS), `EACCES`, `EMFILE`.
  package init(named name: String) throws(Errno) {
    guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else { throw .EINVAL }
    self.descriptor = try system_open("\(Self.directory)/\(name)", writable: false)
    self.name = name
  }

  /// A dma-buf, its bytes zero (`DMA_HEAP_IOCTL_ALLOC`). The kernel rounds up to whole pages.
  ///
  /// - Throws: `EINVAL` for 0 bytes or fewer, `ENOMEM`, `EMFILE`.
  package func allocate(byteCount: Int) throws(Errno) -> DMABufDescriptor {
    guard byteCount > 0 else { throw .EINVAL }
    return DMABufDescriptor(
      try system_dmaHeapAllocate(descriptor.rawValue, byteCount: byteCount))
  }
}
