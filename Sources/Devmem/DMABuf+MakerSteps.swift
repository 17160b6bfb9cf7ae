// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

// The steps that makers share. Each either succeeds or leaves nothing behind: what was made before
// is owned by a local value that ends with the throw.
extension DMABuf {
  static func check(byteCount: Int, pageSize: PageSize) throws(DevmemError) {
    guard byteCount > 0, byteCount % pageSize.byteCount == 0 else {
      throw DevmemError(
        .invalidByteCount, "making a buffer of \(byteCount) bytes in \(pageSize.rawValue) pages",
        remedy: "Ask for a multiple of \(pageSize.byteCount) bytes.")
    }
  }

  static func check(name: String?) throws(DevmemError) {
    guard let name else { return }
    guard name.utf8.count <= nameByteCountLimit, !name.utf8.contains(0) else {
      throw DevmemError(
        .invalidName, "naming a buffer",
        remedy: "A name has at most \(nameByteCountLimit) bytes and no NUL.")
    }
  }

  static func check(node: Int?) throws(DevmemError) {
    guard let node else { return }
    guard NUMANode.available().contains(NUMANode(node)) else { throw .noSuchNode(node) }
  }

  /// More base pages than there is memory are refused here, because the kernel does not: it hands
  /// out page after page until the OOM killer ends a process, ours most likely (seen with the
  /// system heap and with memory files on Linux 7.3). Huge pages come from a pool that says no.
  static func checkMemory(
    byteCount: Int, pageSize: PageSize, node: Int? = nil
  ) throws(DevmemError) {
    guard pageSize == .base4K else { return }
    let operation = "making a buffer of \(byteCount) bytes"
    // Where /proc does not say, nobody refuses.
    if let bound = MemoryLimits.tightest(), byteCount > bound.availableByteCount {
      throw DevmemError(
        .outOfMemory, "\(operation) where \(bound.place) leaves \(bound.availableByteCount)",
        remedy: "Ask for less, free memory, or raise the limit.")
    }
    if let node, let (total, _) = try? NUMANode(node).memory(), UInt64(byteCount) > total {
      throw DevmemError(
        .outOfMemory, "\(operation) on node \(node), which has \(total)",
        remedy: "Ask for less, or for no particular node.")
    }
  }

  /// Records of more IOVs than there is memory for are refused here: their allocation would end the
  /// process. The bytes themselves may be there all the same, in a sparse memory file of somebody
  /// else.
  static func checkRecords(iovCount: Int, _ operation: String) throws(DevmemError) {
    // Nobody asks /proc about less than 2^21 IOVs: 80 MiB of records.
    guard iovCount > 1 << 21,
      let available = MemoryLimits.tightest()?.availableByteCount,
      iovCount > available / recordByteCount
    else { return }
    throw DevmemError(
      .outOfMemory, "\(operation), \(iovCount) of them, where \(available) bytes are available",
      remedy: "Each takes \(recordByteCount) bytes of records: use larger IOVs, or free memory.")
  }

  /// 32 of the record, 4 to find it by its offset, and bits of the allocator.
  private static let recordByteCount = 40

  static func openUDMABuf() throws(DevmemError) -> UDMABufDevice {
    try DevmemError.wrapping({ .openingUDMABuf($0) }) { () throws(Errno) in try UDMABufDevice() }
  }

  /// nil where /sys does not say (a container without it): then the ioctl decides.
  static func udmabufLimits() -> UDMABufDevice.Limits? {
    try? UDMABufDevice.limits()
  }

  static func makeFile(
    _ byteCount: Int, _ pageSize: PageSize, _ node: Int?, _ name: String?
  ) throws(DevmemError) -> MemoryFile {
    try DevmemError.wrapping({
      .memoryFile("making", byteCount: byteCount, pageSize: pageSize, node: node, $0)
    }) { () throws(Errno) in
      try MemoryFile(name: name ?? "devmem", byteCount: byteCount, pageSize: pageSize)
    }
  }

  /// Maps, places and populates: one call each, because the exporter would fault the pages in one
  /// by one.
  static func mapPopulated(_ file: MemoryFile, _ node: Int?) throws(DevmemError) -> MemoryMapping {
    func step(_ verb: String) -> (Errno) -> DevmemError {
      { .memoryFile(verb, byteCount: file.byteCount, pageSize: file.pageSize, node: node, $0) }
    }
    let mapping = try DevmemError.wrapping(step("mapping")) { () throws(Errno) in
      try file.map()
    }
    if let node {
      try DevmemError.wrapping({
        $0 == .EINVAL ? .noSuchNode(node, underlying: $0) : step("binding")($0)
      }) { () throws(Errno) in
        try mapping.bind(to: NUMANode(node))
      }
    }
    try DevmemError.wrapping(step("populating")) { () throws(Errno) in
      try mapping.populate(node: node.map { NUMANode($0) }, of: file)
    }
    return mapping
  }

  static func seal(_ file: MemoryFile) throws(DevmemError) {
    try DevmemError.wrapping({
      DevmemError(.sealRefused, "sealing a memory file", underlying: $0)
    }) { () throws(Errno) in
      try file.addSeals(.deviceMemory)
    }
  }

  /// Names a fresh dma-buf and asks what identifies it.
  static func finish(
    _ descriptor: borrowing DMABufDescriptor, _ name: String?
  ) throws(DevmemError) -> FileIdentity {
    if let name {
      do throws(Errno) {
        try descriptor.setName(name)
      } catch {
        throw .step("naming a dma-buf", error)
      }
    }
    do throws(Errno) {
      return try descriptor.identity()
    } catch {
      throw .step("identifying a dma-buf", error)
    }
  }

  /// A buffer whose CPU mapping, if any, is the dma-buf's own mapping.
  static func withOwnMapping(
    _ descriptor: consuming DMABufDescriptor, exporter: Exporter, name: String?
  ) throws(DevmemError) -> DMABuf {
    let byteCount: Int
    do throws(Errno) {
      byteCount = try descriptor.byteCount()
    } catch {
      throw .step("asking a dma-buf's size", error)
    }
    let identity = try finish(descriptor, nil)
    // Read-write first; a descriptor that was opened for reading alone still shows its bytes.
    var isWritable = true
    var mapping = try mapIfAllowed(descriptor, byteCount, isWritable: true)
    if mapping == nil {
      isWritable = false
      mapping = try mapIfAllowed(descriptor, byteCount, isWritable: false)
    }
    return DMABuf(
      exporter: exporter, byteCount: byteCount, identity: identity, name: name, pageSize: nil,
      requestedNode: nil, descriptor: descriptor, memoryFile: nil, memoryRanges: [],
      mapping: mapping, mappingSource: .dmaBuf, isMappingWritable: isWritable)
  }

  /// nil where the exporter has no mapping to give; running out of something is an error.
  private static func mapIfAllowed(
    _ descriptor: borrowing DMABufDescriptor, _ byteCount: Int, isWritable: Bool
  ) throws(DevmemError) -> MemoryMapping? {
    do throws(Errno) {
      return try descriptor.map(byteCount: byteCount, isWritable: isWritable)
    } catch {
      switch error {
      case .ENOMEM, .EAGAIN, .ENFILE: throw .step("mapping a dma-buf", error)
      default: return nil
      }
    }
  }

  static func openingHeap(_ name: String, _ errno: Errno) -> DevmemError {
    let operation = "opening the dma-buf heap \(DMAHeap.directory)/\(name)"
    switch errno {
    case .EINVAL:
      return DevmemError(.invalidName, operation, underlying: errno)
    case .ENOENT, .ENXIO, .ENODEV:
      let names = (try? DMAHeap.names()) ?? []
      return DevmemError(
        .exporterMissing, operation, underlying: errno,
        remedy: names.isEmpty
          ? DeviceNode.heap(name).absentRemedy
            ?? "This kernel has no heaps (CONFIG_DMABUF_HEAPS=y, CONFIG_DMABUF_HEAPS_SYSTEM=y)."
          : "There are: \(names.joined(separator: ", "))")
    case .EACCES, .EPERM:
      return DevmemError(
        .permissionDenied, operation, underlying: errno,
        remedy: DeviceNode.heap(name).refusedRemedy(group: nil))
    default:
      return .step(operation, errno)
    }
  }

  static func openCard(_ path: String?) throws(DevmemError) -> DRMDevice {
    let paths: [String]
    if let path {
      paths = [path]
    } else {
      paths = try DevmemError.wrapping({ openingCard(DRMDevice.directory, $0) }) {
        () throws(Errno) in try DRMDevice.cards()
      }
    }
    var firstError: DevmemError?
    for path in paths {
      do throws(Errno) {
        let device = try DRMDevice(path: path)
        if try device.hasDumbBuffers() { return device }
        firstError =
          firstError
          ?? DevmemError(
            .exporterRefused, "making a dumb buffer on \(path) (driver \(device.driverName))",
            underlying: .EOPNOTSUPP, remedy: "This driver makes none: name another card.")
      } catch {
        firstError = firstError ?? openingCard(path, error)
      }
    }
    throw firstError
      ?? DevmemError(
        .exporterMissing, "looking for a DRM card in \(DRMDevice.directory)", underlying: .ENOENT,
        remedy: missingCardRemedy(DRMDevice.directory))
  }

  /// A container may lack the nodes of cards that the kernel has.
  private static func missingCardRemedy(_ path: String) -> String {
    let cards = (try? SystemFile.names(in: "/sys/class/drm")) ?? []
    let hasCards = cards.contains { $0.hasPrefix("card") && $0.dropFirst(4).allSatisfy(\.isNumber) }
    if hasCards, let remedy = DeviceNode.card(path).absentRemedy { return remedy }
    return "Load the software one: \(SystemProcess.asRoot("modprobe vgem"))"
  }

  static func openingCard(_ path: String, _ errno: Errno) -> DevmemError {
    let operation = "opening the DRM card \(path)"
    switch errno {
    case .ENOENT, .ENXIO, .ENODEV, .ENOTTY:
      return DevmemError(
        .exporterMissing, operation, underlying: errno, remedy: missingCardRemedy(path))
    case .EACCES, .EPERM:
      return DevmemError(
        .permissionDenied, operation, underlying: errno,
        remedy: DeviceNode.card(path).refusedRemedy(group: "video"))
    default:
      return .step(operation, errno)
    }
  }

  static func refusal(_ operation: String, _ errno: Errno) -> DevmemError {
    switch errno {
    case .EINVAL, .ENOTTY, .ENOSYS, .EOPNOTSUPP:
      DevmemError(.exporterRefused, operation, underlying: errno)
    default:
      .step(operation, errno)
    }
  }
}
