// SPDX-License-Identifier: Apache-2.0

/// The directions of CPU access that a sync bracket announces (`DMA_BUF_SYNC_READ`, `_WRITE`).
public struct DMABufAccess: OptionSet, Hashable, Sendable {
  /// `DMA_BUF_SYNC_*` bits.
  public let rawValue: UInt8

  /// Wraps `DMA_BUF_SYNC_*` bits.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// The CPU will read.
  public static let read = DMABufAccess(rawValue: 1)
  /// The CPU will write.
  public static let write = DMABufAccess(rawValue: 2)
  /// Both.
  public static let readWrite: DMABufAccess = [.read, .write]

  /// What poll(2) of a dma-buf waits for before such an access: POLLIN for writers, POLLOUT for all
  /// who use it.
  package var interest: TCPSocket.Interest { contains(.write) ? .writable : .readable }
}

/// A dma-buf's descriptor and what can be asked of it (include/uapi/linux/dma-buf.h).
package struct DMABufDescriptor: ~Copyable, Sendable {
  /// Bytes of ``setName(_:)``, without the NUL (`DMA_BUF_NAME_LEN` - 1).
  package static let nameByteCountLimit = 31

  /// The descriptor, close-on-exec.
  package let descriptor: OwnedFileDescriptor

  /// Takes over a descriptor that should be a dma-buf; ``isDMABuf()`` says whether it is.
  package init(_ descriptor: consuming OwnedFileDescriptor) {
    self.descriptor = descriptor
  }

  /// The descriptor's number. Borrowed.
  package var rawValue: Int32 { descriptor.rawValue }

  /// A second descriptor of the same dma-buf.
  ///
  /// - Throws: `EMFILE`.
  package func duplicate() throws(Errno) -> DMABufDescriptor {
    DMABufDescriptor(try descriptor.duplicate())
  }

  /// Gives the plain descriptor away.
  package consuming func takeDescriptor() -> OwnedFileDescriptor {
    descriptor
  }

  /// Bytes of the buffer (`lseek(SEEK_END)`), a multiple of the page size.
  ///
  /// - Throws: `ESPIPE` and others if it is not a dma-buf.
  package func byteCount() throws(Errno) -> Int {
    try system_byteCount(descriptor.rawValue)
  }

  /// What names the dma-buf as long as it lives, through every descriptor and in every process.
  ///
  /// - Throws: nothing that is expected.
  package func identity() throws(Errno) -> FileIdentity {
    try descriptor.identity()
  }

  /// Begins CPU access to the whole buffer; waits for the fences of devices that use it.
  ///
  /// - Throws: `EINVAL` for no direction at all, `ENOTTY` if it is not a dma-buf, and what the
  ///   exporter answers. `EINTR` and `EAGAIN` are retried.
  package func beginCPUAccess(_ access: DMABufAccess) throws(Errno) {
    try system_dmabufSync(descriptor.rawValue, flags: UInt64(access.rawValue))
  }

  /// Ends CPU access to the whole buffer.
  ///
  /// - Throws: `EINVAL` for no direction or before the first begin, `ENOTTY`.
  package func endCPUAccess(_ access: DMABufAccess) throws(Errno) {
    try system_dmabufSync(descriptor.rawValue, flags: UInt64(access.rawValue) | 4)
  }

  /// Names the buffer for /proc and debugfs.
  ///
  /// - Throws: `EINVAL` or `ENAMETOOLONG` above ``nameByteCountLimit`` bytes, `ENOTTY`.
  package func setName(_ name: String) throws(Errno) {
    guard name.utf8.count <= Self.nameByteCountLimit else { throw .ENAMETOOLONG }
    try system_dmabufSetName(descriptor.rawValue, name)
  }

  /// A sync file with the fences of the writers (`.read`) or of all users (`.write`) of the buffer
  /// (`DMA_BUF_IOCTL_EXPORT_SYNC_FILE`, Linux 6.0).
  ///
  /// - Throws: `EINVAL` for no direction, `ENOTTY` before Linux 6.0, `EMFILE`.
  package func exportSyncFile(_ access: DMABufAccess) throws(Errno) -> SyncFile {
    SyncFile(try system_dmabufExportSyncFile(descriptor.rawValue, flags: UInt32(access.rawValue)))
  }

  /// Adds a sync file's fences to the buffer, as a reader's or a writer's
  /// (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`, Linux 6.0).
  ///
  /// - Throws: `EINVAL` for no direction or no sync file, `ENOTTY` before Linux 6.0.
  package func importSyncFile(
    _ syncFile: borrowing SyncFile, _ access: DMABufAccess
  ) throws(Errno) {
    try system_dmabufImportSyncFile(
      descriptor.rawValue, syncFile: syncFile.descriptor.rawValue, flags: UInt32(access.rawValue))
  }

  /// Waits until the CPU may read (`.read`: no device writes any more) or write (`.write`: no
  /// device uses the buffer any more), by poll(2) (`dma_buf_poll`, drivers/dma-buf/dma-buf.c).
  ///
  /// - Parameter milliseconds: how long at most; -1 for ever, 0 only asks. Signals do not prolong
  ///   it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  package func wait(for access: DMABufAccess, milliseconds: Int32) throws(Errno) -> Bool {
    try descriptor.wait(for: access.interest, milliseconds: milliseconds)
  }

  /// What /proc/self/fdinfo says of a dma-buf.
  package struct Information: Hashable, Sendable {
    /// Who exported it: "udmabuf", "system", "drm"… (`exp_name`).
    package let exporterName: String
    /// Its name, if it was given one.
    package let name: String?
    /// Bytes.
    package let byteCount: Int
  }

  /// Who exported the dma-buf and what it is called, or nil if the descriptor is not a dma-buf.
  ///
  /// Without /proc nobody says who exported it: the exporter's name is "unknown" then.
  ///
  /// - Throws: what `open(2)` answers for /proc/self/fdinfo: `EMFILE`.
  package func information() throws(Errno) -> Information? {
    let text: String
    do throws(Errno) {
      text = try SystemFile.text(at: "/proc/self/fdinfo/\(descriptor.rawValue)")
    } catch {
      guard error == .ENOENT else { throw error }
      guard system_isDMABuf(descriptor.rawValue) else { return nil }
      return Information(exporterName: "unknown", name: nil, byteCount: try byteCount())
    }
    var fields: [Substring: Substring] = [:]
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[line[..<colon]] = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
    }
    guard let exporterName = fields["exp_name"], let size = fields["size"].flatMap({ Int($0) })
    else { return nil }
    return Information(
      exporterName: String(exporterName), name: fields["name"].map(String.init), byteCount: size)
  }

  /// Whether the descriptor is a dma-buf at all.
  ///
  /// - Throws: as ``information()``.
  package func isDMABuf() throws(Errno) -> Bool {
    try information() != nil
  }

  /// Maps the dma-buf itself. Since Linux 6.11 a udmabuf's own mapping is `VM_PFNMAP`: good for
  /// loads and stores, refused with EFAULT by everything that pins pages.
  ///
  /// - Throws: `EINVAL` (past the end), `ENODEV`, `ENOTTY` or `EPERM` (the exporter cannot map it).
  package func map(
    offset: Int = 0, byteCount: Int, isWritable: Bool = true
  ) throws(Errno) -> MemoryMapping {
    try MemoryMapping.sharedFile(
      descriptor, offset: offset, byteCount: byteCount, isWritable: isWritable)
  }
}
