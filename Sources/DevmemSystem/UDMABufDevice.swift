// SPDX-License-Identifier: Apache-2.0

/// `/dev/udmabuf` (drivers/dma-buf/udmabuf.c): makes dma-bufs out of ranges of memory files.
package struct UDMABufDevice: ~Copyable, Sendable {
  /// Where the device node is.
  package static let path = "/dev/udmabuf"
  /// Where the kernel keeps the limits; root may write there.
  package static let parametersPath = "/sys/module/udmabuf/parameters"

  /// One range of one memory file.
  package struct Item: Hashable, Sendable {
    /// The memory file's descriptor, open during the call.
    package var memoryFile: Int32
    /// Where the range begins, in bytes: a multiple of the base page size.
    package var offset: Int
    /// How long it is, in bytes: > 0, a multiple of the base page size.
    package var byteCount: Int

    /// Describes a range.
    package init(memoryFile: Int32, offset: Int, byteCount: Int) {
      self.memoryFile = memoryFile
      self.offset = offset
      self.byteCount = byteCount
    }
  }

  /// What the driver accepts at most.
  package struct Limits: Hashable, Sendable {
    /// Ranges in one dma-buf (`list_limit`, 1024 by default).
    package let itemCount: Int
    /// Bytes in one dma-buf (`size_limit_mb`, 64 MiB by default up to Linux 6.12).
    package let byteCount: Int

    /// Limits given by hand.
    package init(itemCount: Int, byteCount: Int) {
      self.itemCount = itemCount
      self.byteCount = byteCount
    }
  }

  private let descriptor: OwnedFileDescriptor

  /// Opens the device. Reading alone is enough for its ioctls.
  ///
  /// - Throws: `ENOENT` (kernel without CONFIG_UDMABUF), `EACCES` (neither root nor in group kvm),
  ///   `EMFILE`.
  package init(path: String = UDMABufDevice.path) throws(Errno) {
    self.descriptor = try system_open(path, writable: false)
  }

  /// A dma-buf over one range of one memory file (`UDMABUF_CREATE`). Every page is made to exist
  /// and pinned until the dma-buf's last descriptor, mapping and attachment are gone; that is not
  /// charged to RLIMIT_MEMLOCK.
  ///
  /// - Throws: `EINVAL` (file not sealed against shrinking, or sealed against writing; alignment;
  ///   past the file's end; above the size limit), `EBADFD` (not a memory file), `ENOMEM`,
  ///   `EMFILE`.
  package func create(
    memoryFile: Int32, offset: Int, byteCount: Int
  ) throws(Errno) -> DMABufDescriptor {
    guard offset >= 0, byteCount >= 0 else { throw .EINVAL }
    return DMABufDescriptor(
      try system_udmabufCreate(
        descriptor.rawValue, memoryFile: memoryFile, offset: offset, byteCount: byteCount))
  }

  /// A dma-buf over several ranges, one after the other (`UDMABUF_CREATE_LIST`). The kernel lets
  /// ranges overlap; the result then shows the same bytes twice.
  ///
  /// - Throws: as ``create(memoryFile:offset:byteCount:)``; `EINVAL` also above the list limit.
  package func createList(_ items: [Item]) throws(Errno) -> DMABufDescriptor {
    guard items.allSatisfy({ $0.offset >= 0 && $0.byteCount >= 0 }) else { throw .EINVAL }
    return DMABufDescriptor(try system_udmabufCreateList(descriptor.rawValue, items))
  }

  /// The running kernel's limits, read from ``parametersPath``.
  ///
  /// - Throws: `ENOENT` without the driver, `EINVAL` if a parameter is not a number.
  package static func limits() throws(Errno) -> Limits {
    let items = try integer(at: "\(parametersPath)/list_limit")
    let mebibytes = try integer(at: "\(parametersPath)/size_limit_mb")
    // INT_MAX MiB on Linux 7: fits 64 bits.
    return Limits(itemCount: items, byteCount: mebibytes << 20)
  }

  private static func integer(at path: String) throws(Errno) -> Int {
    let text = try SystemFile.text(at: path)
    guard let value = Int(text.prefix { !$0.isWhitespace }), value >= 0, value <= Int(Int32.max)
    else { throw .EINVAL }
    return value
  }
}
