// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

extension DMABuf {
  /// Bytes of a dma-buf's name at most (`DMA_BUF_NAME_LEN` - 1).
  package static let nameByteCountLimit = DMABufDescriptor.nameByteCountLimit

  /// A dma-buf over a new memory file, made by /dev/udmabuf (drivers/dma-buf/udmabuf.c), with both
  /// mappings. Its pages are placed and populated in one call each, then pinned.
  ///
  /// - Parameters:
  ///   - byteCount: > 0, a multiple of the page size, at most `size_limit_mb`.
  ///   - pageSize: huge pages come from the kernel's pool.
  ///   - node: the NUMA node that all pages come from; nil leaves it to the kernel.
  ///   - name: shown in /proc and debugfs, at most 31 bytes.
  /// - Throws: codes ``DevmemError/Code/exporterMissing``, `permissionDenied`, `sizeLimit`,
  ///   `noHugePages`, `outOfMemory`, `noSuchNode`, `invalidByteCount`, `invalidName`,
  ///   `sealRefused`, `exporterRefused`, `descriptorLimit`. Nothing is left behind then.
  public static func udmabuf(
    byteCount: Int, pageSize: PageSize = .base4K, node: Int? = nil, name: String? = nil
  ) throws(DevmemError) -> DMABuf {
    try check(byteCount: byteCount, pageSize: pageSize)
    try check(name: name)
    try check(node: node)
    let device = try openUDMABuf()
    if let limits = udmabufLimits(), byteCount > limits.byteCount {
      throw .udmabufSizeLimit(byteCount: byteCount, limits: limits)
    }
    try checkMemory(byteCount: byteCount, pageSize: pageSize, node: node)
    return try udmabuf(device, byteCount, pageSize, node, name)
  }

  /// Several dma-bufs of `size_limit_mb` each (the last one may be smaller) that have `byteCount`
  /// bytes together: what a region larger than the limit has to be made of. Each has a memory file
  /// of its own.
  ///
  /// - Throws: as ``udmabuf(byteCount:pageSize:node:name:)``; `sizeLimit` only where the limit is
  ///   below one page. Nothing is left behind then.
  public static func udmabufs(
    byteCount: Int, pageSize: PageSize = .base4K, node: Int? = nil, name: String? = nil
  ) throws(DevmemError) -> [DMABuf] {
    try check(byteCount: byteCount, pageSize: pageSize)
    try check(name: name)
    try check(node: node)
    let device = try openUDMABuf()
    let limits = try DevmemError.wrapping({
      .step("reading the limits in \(UDMABufDevice.parametersPath)", $0)
    }) { () throws(Errno) in try UDMABufDevice.limits() }
    let partLimit = limits.byteCount / pageSize.byteCount * pageSize.byteCount
    guard partLimit > 0 else {
      throw .udmabufSizeLimit(byteCount: pageSize.byteCount, limits: limits)
    }
    try checkMemory(byteCount: byteCount, pageSize: pageSize, node: node)
    var buffers: [DMABuf] = []
    var rest = byteCount
    while rest > 0 {
      let part = min(rest, partLimit)
      buffers.append(try udmabuf(device, part, pageSize, node, name))
      rest -= part
    }
    return buffers
  }

  private static func udmabuf(
    _ device: borrowing UDMABufDevice, _ byteCount: Int, _ pageSize: PageSize, _ node: Int?,
    _ name: String?
  ) throws(DevmemError) -> DMABuf {
    let file = try makeFile(byteCount, pageSize, node, name)
    let mapping = try mapPopulated(file, node)
    try seal(file)
    let number = file.descriptor.rawValue
    let descriptor = try DevmemError.wrapping({ .creatingUDMABuf(byteCount, $0) }) {
      () throws(Errno) in
      try device.create(memoryFile: number, offset: 0, byteCount: byteCount)
    }
    let identity = try finish(descriptor, name)
    return DMABuf(
      exporter: .udmabuf, byteCount: byteCount, identity: identity, name: name,
      pageSize: pageSize, requestedNode: node, descriptor: descriptor, memoryFile: file,
      memoryRanges: [MemoryRange(of: file)], mapping: mapping, mappingSource: .memoryFile)
  }

  /// A memory file without a dma-buf: a stand-in for machines without an exporter, which says so
  /// (``isExported`` is false). No device can import it. Its pages are not pinned.
  ///
  /// - Parameters: as for ``udmabuf(byteCount:pageSize:node:name:)``.
  /// - Throws: `noHugePages`, `outOfMemory`, `noSuchNode`, `invalidByteCount`, `invalidName`,
  ///   `sealRefused`, `descriptorLimit`. Nothing is left behind then.
  public static func memoryFile(
    byteCount: Int, pageSize: PageSize = .base4K, node: Int? = nil, name: String? = nil
  ) throws(DevmemError) -> DMABuf {
    try check(byteCount: byteCount, pageSize: pageSize)
    try check(name: name)
    try check(node: node)
    try checkMemory(byteCount: byteCount, pageSize: pageSize, node: node)
    let file = try makeFile(byteCount, pageSize, node, name)
    let mapping = try mapPopulated(file, node)
    try seal(file)
    return DMABuf(
      exporter: .memoryFile, byteCount: byteCount, identity: file.identity, name: name,
      pageSize: pageSize, requestedNode: node, descriptor: nil, memoryFile: file,
      memoryRanges: [MemoryRange(of: file)], mapping: mapping, mappingSource: .memoryFile)
  }

  /// A dma-buf from a heap (drivers/dma-buf/dma-heap.c), its bytes zero. The CPU mapping is the
  /// dma-buf's own mapping.
  ///
  /// - Parameters:
  ///   - name: the heap, a name in /dev/dma_heap.
  ///   - byteCount: > 0, a multiple of the base page size.
  /// - Throws: `exporterMissing`, `permissionDenied`, `invalidName`, `invalidByteCount`,
  ///   `outOfMemory`, `exporterRefused`, `descriptorLimit`. Nothing is left behind then.
  public static func dmaHeap(
    named name: String = "system", byteCount: Int
  ) throws(DevmemError) -> DMABuf {
    try check(byteCount: byteCount, pageSize: .base4K)
    let heap = try DevmemError.wrapping({ openingHeap(name, $0) }) { () throws(Errno) in
      try DMAHeap(named: name)
    }
    try checkMemory(byteCount: byteCount, pageSize: .base4K)
    let operation = "allocating \(byteCount) bytes from the dma-buf heap \(name)"
    let descriptor = try DevmemError.wrapping({ refusal(operation, $0) }) { () throws(Errno) in
      try heap.allocate(byteCount: byteCount)
    }
    return try withOwnMapping(descriptor, exporter: .dmaHeap(name), name: nil)
  }

  /// A dumb buffer of a DRM card, exported by PRIME. The CPU mapping is the dma-buf's own mapping.
  ///
  /// - Parameters:
  ///   - byteCount: > 0, a multiple of the base page size.
  ///   - card: a path such as /dev/dri/card0; nil takes the first card that makes dumb buffers.
  /// - Throws: `exporterMissing`, `permissionDenied`, `invalidByteCount`, `outOfMemory`,
  ///   `exporterRefused`, `descriptorLimit`. Nothing is left behind then.
  public static func drmDumb(
    byteCount: Int, card: String? = nil
  ) throws(DevmemError) -> DMABuf {
    try check(byteCount: byteCount, pageSize: .base4K)
    let device = try openCard(card)
    try checkMemory(byteCount: byteCount, pageSize: .base4K)
    let operation = "making a dumb buffer of \(byteCount) bytes on \(device.path)"
    let descriptor = try DevmemError.wrapping({ refusal(operation, $0) }) { () throws(Errno) in
      // The dma-buf keeps the buffer object: the handle and the card may go.
      try device.createDumbBuffer(byteCount: byteCount).export()
    }
    return try withOwnMapping(descriptor, exporter: .drm(driver: device.driverName), name: nil)
  }

  /// A dma-buf that somebody else made: a GPU driver, or another process that sent its descriptor.
  ///
  /// The CPU mapping is the dma-buf's own mapping, if the exporter allows one. Read and write
  /// inside ``withCPUAccess(_:_:)`` or ``withBytes(_:_:)``.
  ///
  /// - Throws: `notADMABuf`, `outOfMemory`, `descriptorLimit`. The descriptor is closed then.
  public static func imported(
    _ descriptor: consuming OwnedFileDescriptor
  ) throws(DevmemError) -> DMABuf {
    let descriptor = DMABufDescriptor(descriptor)
    let operation = "importing a dma-buf"
    let information = try DevmemError.wrapping({ .step(operation, $0) }) { () throws(Errno) in
      try descriptor.information()
    }
    guard let information else {
      throw DevmemError(
        .notADMABuf, operation, remedy: "The descriptor is something else: see /proc/self/fdinfo.")
    }
    return try withOwnMapping(
      descriptor, exporter: .imported(exporterName: information.exporterName),
      name: information.name)
  }

  /// A memory file that another process sent, where it has no dma-buf to send
  /// (``memoryFile(byteCount:pageSize:node:name:)``).
  ///
  /// - Throws: `notADMABuf` (not even a memory file), `sealRefused` (its seals allow it to
  ///   shrink, which would take mapped pages away), `outOfMemory`. The descriptor is closed then.
  public static func importedMemoryFile(
    _ descriptor: consuming OwnedFileDescriptor
  ) throws(DevmemError) -> DMABuf {
    let operation = "importing a memory file"
    let translate: (Errno) -> DevmemError = {
      $0 == .EINVAL ? DevmemError(.notADMABuf, operation, underlying: $0) : .step(operation, $0)
    }
    let file: MemoryFile
    do throws(Errno) {
      file = try MemoryFile(adopting: descriptor)
    } catch {
      throw translate(error)
    }
    let seals = try DevmemError.wrapping(translate) { () throws(Errno) in try file.seals() }
    guard seals.contains(.shrink) else {
      throw DevmemError(
        .sealRefused, operation, remedy: "The sender has to seal it against shrinking.")
    }
    let mapping = try DevmemError.wrapping({ .step("mapping a memory file", $0) }) {
      () throws(Errno) in try file.map()
    }
    return DMABuf(
      exporter: .memoryFile, byteCount: file.byteCount, identity: file.identity, name: nil,
      pageSize: file.pageSize, requestedNode: nil, descriptor: nil, memoryFile: file,
      memoryRanges: [MemoryRange(of: file)], mapping: mapping, mappingSource: .memoryFile)
  }
}
