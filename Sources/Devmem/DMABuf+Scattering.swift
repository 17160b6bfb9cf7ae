// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

extension DMABuf {
  /// A dma-buf over ranges of memory files, one after the other (`UDMABUF_CREATE_LIST`).
  ///
  /// The files have to be sealed against shrinking and not against writing. The CPU mapping shows
  /// the ranges one after the other as well, from the files; only where a range cuts a huge page,
  /// or does not lie on a multiple of its size in the dma-buf, is it the dma-buf's own mapping (see
  /// ``CPUMapping/source``).
  ///
  /// - Parameters:
  ///   - ranges: at least one, at most `list_limit`; offsets and byte counts multiples of the base
  ///     page size, inside their files, no two overlapping.
  ///   - name: as for ``udmabuf(byteCount:pageSize:node:name:)``.
  /// - Throws: `invalidOffset`, `invalidByteCount`, `overlappingRanges`, `listLimit`, `sizeLimit`,
  ///   `sealRefused`, `exporterMissing`, `exporterRefused`, `permissionDenied`, `outOfMemory`,
  ///   `noHugePages`, `descriptorLimit`. Nothing is left behind then.
  public static func udmabuf(
    scattering ranges: [MemoryRange], name: String? = nil
  ) throws(DevmemError) -> DMABuf {
    try check(name: name)
    let byteCount = try check(ranges: ranges)
    let device = try openUDMABuf()
    if let limits = udmabufLimits() {
      if ranges.count > limits.itemCount {
        throw .udmabufListLimit(count: ranges.count, limits: limits)
      }
      if byteCount > limits.byteCount {
        throw .udmabufSizeLimit(byteCount: byteCount, limits: limits)
      }
    }
    var mapping: MemoryMapping? = try mapFiles(ranges, byteCount)
    let descriptor = try DevmemError.wrapping({ .creatingUDMABuf(byteCount, $0) }) {
      () throws(Errno) in
      try device.createList(
        ranges.map {
          UDMABufDevice.Item(
            memoryFile: $0.file.descriptor.rawValue, offset: $0.offset, byteCount: $0.byteCount)
        })
    }
    let identity = try finish(descriptor, name)
    let source: CPUMapping.Source = mapping != nil ? .memoryFile : .dmaBuf
    if mapping == nil {
      mapping = try DevmemError.wrapping({ .step("mapping a udmabuf", $0) }) { () throws(Errno) in
        try descriptor.map(byteCount: byteCount)
      }
    }
    let files = Set(ranges.map(\.file.identity))
    let pageSizes = Set(ranges.map(\.file.pageSize))
    return DMABuf(
      exporter: .udmabuf, byteCount: byteCount, identity: identity, name: name,
      pageSize: pageSizes.count == 1 ? pageSizes.first : nil, requestedNode: nil,
      descriptor: descriptor, memoryFile: files.count == 1 ? ranges[0].file : nil,
      memoryRanges: ranges, mapping: mapping, mappingSource: source)
  }

  /// All ranges are usable and do not overlap. Returns their bytes together.
  private static func check(ranges: [MemoryRange]) throws(DevmemError) -> Int {
    let operation = "making a udmabuf of ranges"
    let page = SystemProcess.pageByteCount
    guard !ranges.isEmpty else { throw DevmemError(.invalidByteCount, "\(operation): none given") }
    var total = 0
    for (index, range) in ranges.enumerated() {
      let place = "\(operation): range \(index)"
      guard range.offset >= 0, range.offset % page == 0, range.offset < range.file.byteCount else {
        throw DevmemError(
          .invalidOffset, "\(place) begins at \(range.offset) of \(range.file.byteCount)",
          remedy: "Offsets are multiples of \(page) inside the file.")
      }
      guard range.byteCount > 0, range.byteCount % page == 0,
        range.byteCount <= range.file.byteCount - range.offset
      else {
        throw DevmemError(
          .invalidByteCount, "\(place) has \(range.byteCount) bytes",
          remedy: "Byte counts are multiples of \(page) and end inside the file.")
      }
      let sum = total.addingReportingOverflow(range.byteCount)
      guard !sum.overflow else {
        throw DevmemError(
          .sizeLimit, "\(place) makes it more than \(Int.max) bytes",
          remedy: "Make several dma-bufs of them.")
      }
      total = sum.partialValue
    }
    try checkSeals(ranges)
    try checkOverlap(ranges)
    return total
  }

  private static func checkSeals(_ ranges: [MemoryRange]) throws(DevmemError) {
    let operation = "making a udmabuf of ranges"
    var checked: Set<FileIdentity> = []
    for range in ranges where checked.insert(range.file.identity).inserted {
      let seals = try DevmemError.wrapping({ .step(operation, $0) }) { () throws(Errno) in
        try range.file.seals()
      }
      guard seals.contains(.shrink), seals.isDisjoint(with: [.write, .futureWrite]) else {
        throw DevmemError(
          .sealRefused, operation,
          remedy: "Seal each file against shrinking and not against writing: file.addSeals()")
      }
    }
  }

  private static func checkOverlap(_ ranges: [MemoryRange]) throws(DevmemError) {
    for (_, ofFile) in Dictionary(grouping: ranges, by: \.file.identity) {
      let sorted = ofFile.map(\.positions).sorted { $0.lowerBound < $1.lowerBound }
      for (first, second) in zip(sorted, sorted.dropFirst())
      where second.lowerBound < first.upperBound {
        throw DevmemError(
          .overlappingRanges,
          "making a udmabuf of ranges that share bytes from \(second.lowerBound)",
          remedy: "Two offsets of one buffer would show the same bytes: give each range once.")
      }
    }
  }

  /// The ranges one after the other, from their files, populated; nil where a range does not begin
  /// and end on its file's pages, or would not lie on a multiple of their size.
  private static func mapFiles(
    _ ranges: [MemoryRange], _ byteCount: Int
  ) throws(DevmemError) -> MemoryMapping? {
    var position = 0
    var largest = PageSize.base4K
    for range in ranges {
      let page = range.file.pageSize.byteCount
      guard range.offset % page == 0, range.byteCount % page == 0, position % page == 0 else {
        return nil
      }
      if page > largest.byteCount { largest = range.file.pageSize }
      position += range.byteCount
    }
    return try DevmemError.wrapping({
      .memoryFile("mapping", byteCount: byteCount, pageSize: largest, node: nil, $0)
    }) { () throws(Errno) in
      var mapping = try MemoryMapping.reserved(byteCount: byteCount, for: largest)
      var position = 0
      for range in ranges {
        try unsafe mapping.map(
          range.file.descriptor, offset: range.offset, byteCount: range.byteCount, at: position)
        position += range.byteCount
      }
      try mapping.populate()
      return mapping
    }
  }
}
