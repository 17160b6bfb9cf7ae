// SPDX-License-Identifier: Apache-2.0

/// A mapped range of this process's address space with exactly one owner: unmapped when it ends.
///
/// The mapping keeps its file's memory alive by itself; the descriptor may be closed. It says
/// nothing about who reads and writes the bytes at the same time: that is the owner's matter.
@safe package struct MemoryMapping: ~Copyable, @unchecked Sendable {
  /// The first byte, aligned to the page size. Valid as long as the mapping lives.
  package let baseAddress: UnsafeMutableRawPointer
  /// Bytes mapped, > 0.
  package let byteCount: Int

  // SAFETY: baseAddress..<baseAddress + byteCount was mapped by this value's maker and nobody else
  // unmaps it, so it is valid until here.
  deinit {
    // ENOMEM (the split of a merged mapping at vm.max_map_count) cannot be acted on here.
    _ = try? unsafe system_unmap(baseAddress, byteCount: byteCount)
  }

  private init(owning baseAddress: UnsafeMutableRawPointer, byteCount: Int) {
    unsafe self.baseAddress = unsafe baseAddress
    self.byteCount = byteCount
  }

  /// Runs `body` with all bytes; they must not escape.
  @safe package func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(bytes)
  }

  /// All bytes. Valid as long as the mapping lives: not those of a temporary.
  package var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
  }

  /// Maps part of a file, a memory file or a dma-buf, shared (`MAP_SHARED`).
  ///
  /// - Parameters:
  ///   - offset: a multiple of the file's page size.
  ///   - byteCount: > 0; a multiple of the page size for a huge-page file.
  ///   - isWritable: false maps for reading alone: a write then raises SIGSEGV.
  /// - Throws: `EINVAL` (alignment, size; a dma-buf past its end), `ENOMEM` (also: not enough huge
  ///   pages to reserve), `EACCES`, `EPERM` (a seal forbids writing), `ENODEV` (cannot be mapped).
  package static func sharedFile(
    _ descriptor: borrowing OwnedFileDescriptor, offset: Int = 0, byteCount: Int,
    isWritable: Bool = true
  ) throws(Errno) -> MemoryMapping {
    guard offset >= 0, byteCount > 0 else { throw .EINVAL }
    let address = unsafe try system_mapFile(
      descriptor.rawValue, offset: offset, byteCount: byteCount, writable: isWritable)
    return unsafe MemoryMapping(owning: address, byteCount: byteCount)
  }

  /// Maps private anonymous memory, all zero.
  ///
  /// - Parameter byteCount: > 0, a multiple of the page size.
  /// - Throws: `EINVAL` (size), `ENOMEM` (also: not enough huge pages to reserve).
  package static func anonymous(
    byteCount: Int, pageSize: PageSize = .base4K
  ) throws(Errno) -> MemoryMapping {
    guard byteCount > 0, byteCount % pageSize.byteCount == 0 else { throw .EINVAL }
    let address = unsafe try system_mapAnonymous(
      byteCount: byteCount, pageShift: pageSize.hugeShift)
    return unsafe MemoryMapping(owning: address, byteCount: byteCount)
  }

  /// Reserves address space without memory, to be filled piece by piece with
  /// ``map(_:offset:byteCount:at:)``. Touching what is not filled raises SIGSEGV.
  ///
  /// - Parameters:
  ///   - byteCount: > 0, a multiple of the base page size.
  ///   - pageSize: the largest pages that will be mapped there; the address is a multiple of
  ///     theirs.
  /// - Throws: `EINVAL` (size), `ENOMEM`.
  package static func reserved(
    byteCount: Int, for pageSize: PageSize = .base4K
  ) throws(Errno) -> MemoryMapping {
    guard byteCount > 0, byteCount % SystemProcess.pageByteCount == 0 else { throw .EINVAL }
    let address = unsafe try system_reserve(
      byteCount: byteCount,
      alignment: max(pageSize.byteCount, SystemProcess.pageByteCount))
    return unsafe MemoryMapping(owning: address, byteCount: byteCount)
  }

  /// Replaces `byteCount` bytes at `position` of this mapping by a shared mapping of a file.
  ///
  /// What was mapped there is gone afterwards, and so are pointers into it: meant for a fresh
  /// ``MemoryMapping/reserved(byteCount:for:)``.
  ///
  /// - Throws: `EINVAL` (outside of this mapping, alignment), `ENOMEM`.
  @unsafe package mutating func map(
    _ descriptor: borrowing OwnedFileDescriptor, offset: Int, byteCount: Int, at position: Int
  ) throws(Errno) {
    guard offset >= 0, byteCount > 0, position >= 0,
      position <= self.byteCount, byteCount <= self.byteCount - position
    else { throw .EINVAL }
    _ = unsafe try system_mapFile(
      descriptor.rawValue, offset: offset, byteCount: byteCount, writable: true,
      over: baseAddress + position)
  }

  /// Faults every page in for writing (`MADV_POPULATE_WRITE`, Linux 5.14), by as many threads as
  /// there are processors where it is much, changing no byte. Call it after binding to a node and
  /// before exporting.
  ///
  /// - Parameters:
  ///   - node: where the pages will be: the threads run on its processors, which are next to the
  ///     memory that they zero.
  ///   - file: what is mapped here, from its start on, so that base pages can be allocated by the
  ///     call for files, which is faster for several threads than a fault for each.
  /// - Throws: `ENOMEM`; `EFAULT` where a touch would raise SIGBUS (no huge page or tmpfs space
  ///   left on the node); `EINVAL` on a dma-buf's own mapping.
  package func populate(node: NUMANode? = nil, of file: MemoryFile? = nil) throws(Errno) {
    // Zeroing 32 MiB takes a hundred times as long as making a thread.
    let usable = byteCount >> 25
    guard usable > 1, let ours = try? ProcessorSet.ofProcess() else {
      return try populate(threadCount: 1)
    }
    // A node may have memory alone, or processors that this process may not run on.
    let near = node.flatMap { try? ProcessorSet.of($0).intersection(ours) }
    if let near, !near.numbers.isEmpty {
      try populate(threadCount: min(usable, near.numbers.count), on: near, of: file)
    } else {
      try populate(threadCount: min(usable, ours.numbers.count), of: file)
    }
  }

  /// As ``populate(node:of:)``, by so many threads, and on these processors.
  package func populate(
    threadCount: Int, on processors: ProcessorSet? = nil, of file: MemoryFile? = nil
  ) throws(Errno) {
    // The call would zero huge pages as well, and by one thread.
    let number = file.map { $0.pageSize.hugeShift == 0 ? $0.descriptor.rawValue : -1 } ?? -1
    guard let processors else {
      return try unsafe system_populate(
        baseAddress, byteCount: byteCount, threadCount: threadCount, processors: nil, file: number)
    }
    try unsafe processors.words.withUnsafeBufferPointer { words throws(Errno) in
      try unsafe system_populate(
        baseAddress, byteCount: byteCount, threadCount: threadCount, processors: words,
        file: number)
    }
  }

  /// Makes pages of this mapping that do not exist yet come from one NUMA node alone
  /// (`mbind(MPOL_BIND)`); on a memory file, for everybody who maps it.
  ///
  /// - Throws: `EINVAL` if there is no such node.
  package func bind(to node: NUMANode) throws(Errno) {
    try unsafe NUMANode.bind(baseAddress, byteCount: byteCount, to: node)
  }

  /// Reads bytes the way a device driver would pin them (`process_vm_readv(2)` of this process):
  /// a test of whether MSG_ZEROCOPY, AF_XDP or io_uring could use this memory.
  ///
  /// - Returns: true if they could, false on the `EFAULT` of a `VM_PFNMAP` mapping.
  /// - Throws: `EPERM`, `ENOSYS` where a sandbox forbids the call.
  package func canBePinned() throws(Errno) -> Bool {
    var byte: UInt8 = 0
    do {
      _ = unsafe try withUnsafeMutableBytes(of: &byte) { bytes throws(Errno) in
        unsafe try system_readThroughPages(baseAddress, bytes)
      }
      return true
    } catch {
      if error == .EFAULT { return false }
      throw error
    }
  }
}
