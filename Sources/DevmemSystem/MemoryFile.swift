// SPDX-License-Identifier: Apache-2.0

/// A memory file (`memfd_create(2)`): memory with a descriptor, from which a udmabuf is made.
///
/// The size is fixed at the start. Never punch holes into it (`fallocate(PUNCH_HOLE)`): no seal
/// forbids it, and a dma-buf over the file keeps the old pages while the mapping gets new ones, so
/// that the two silently differ. A class, because several ranges of one file may go into several
/// dma-bufs. All members may be called from any thread.
public final class MemoryFile: Sendable {
  /// What may no longer be done to a memory file (`F_ADD_SEALS`, fcntl(2)).
  package struct Seals: OptionSet, Sendable {
    /// `F_SEAL_*` bits.
    package let rawValue: UInt32

    /// Wraps `F_SEAL_*` bits.
    package init(rawValue: UInt32) {
      self.rawValue = rawValue
    }

    /// No further seals.
    package static let seal = Seals(rawValue: 0x01)
    /// No shrinking; /dev/udmabuf demands it.
    package static let shrink = Seals(rawValue: 0x02)
    /// No growing.
    package static let grow = Seals(rawValue: 0x04)
    /// No writing; /dev/udmabuf refuses it.
    package static let write = Seals(rawValue: 0x08)
    /// No writing but through mappings that exist; /dev/udmabuf refuses it.
    package static let futureWrite = Seals(rawValue: 0x10)

    /// What device memory wants: a size that stays, and nobody who adds ``write`` later.
    package static let deviceMemory: Seals = [.shrink, .grow, .seal]
  }

  /// The descriptor, close-on-exec. Valid as long as the file object lives.
  public let descriptor: OwnedFileDescriptor
  /// Bytes, a multiple of the page size.
  public let byteCount: Int
  /// The pages it is made of.
  package let pageSize: PageSize
  /// What names it while it lives.
  package let identity: FileIdentity

  /// Makes a memory file of a given size; no page of it exists yet.
  ///
  /// Asks for a file that can never be executed (`MFD_NOEXEC_SEAL`) and does without on kernels
  /// before 6.3.
  ///
  /// - Parameters:
  ///   - name: shown in /proc/self/maps, at most 249 bytes.
  ///   - byteCount: > 0, a multiple of the page size.
  ///   - pageSize: of the file's pages; huge ones come from the kernel's reserve.
  ///   - isSealable: false makes a file that /dev/udmabuf refuses (for tests).
  /// - Throws: `EINVAL` (size, name), `EMFILE`, `ENOMEM`, `ENODEV` (no huge pages of that size on
  ///   this machine).
  public init(
    name: String, byteCount: Int, pageSize: PageSize = .base4K, isSealable: Bool = true
  ) throws(Errno) {
    guard byteCount > 0, byteCount % pageSize.byteCount == 0 else { throw .EINVAL }
    let descriptor = try Self.create(name, pageSize, isSealable)
    try system_memoryFileResize(descriptor.rawValue, byteCount: byteCount)
    self.identity = try system_identity(descriptor.rawValue)
    self.descriptor = descriptor
    self.byteCount = byteCount
    self.pageSize = pageSize
  }

  /// Takes over a memory file that somebody else made, such as one that came over a socket.
  ///
  /// - Throws: `EINVAL` if it is no memory file, or an empty one; it is closed then.
  package init(adopting descriptor: consuming OwnedFileDescriptor) throws(Errno) {
    // Only memory files have seals, so the question tells them from a file on tmpfs.
    do throws(Errno) {
      _ = try system_memoryFileSeals(descriptor.rawValue)
    } catch {
      throw error == .EBADF ? .EINVAL : error
    }
    let pageByteCount = try system_memoryFilePageSize(descriptor.rawValue)
    let byteCount = try system_byteCount(descriptor.rawValue)
    guard byteCount > 0,
      let pageSize = PageSize.allCases.first(where: { $0.byteCount == pageByteCount })
    else { throw .EINVAL }
    self.identity = try system_identity(descriptor.rawValue)
    self.descriptor = descriptor
    self.byteCount = byteCount
    self.pageSize = pageSize
  }

  private static func create(
    _ name: String, _ pageSize: PageSize, _ isSealable: Bool
  ) throws(Errno) -> OwnedFileDescriptor {
    // MFD_NOEXEC_SEAL implies MFD_ALLOW_SEALING, so an unsealable file has to do without it.
    if isSealable {
      do {
        return try system_memoryFileCreate(
          name, pageShift: pageSize.hugeShift, sealable: true, noExec: true)
      } catch {
        if error != .EINVAL { throw error }
      }
    }
    return try system_memoryFileCreate(
      name, pageShift: pageSize.hugeShift, sealable: isSealable, noExec: false)
  }

  /// Maps the file, shared and writable. Huge-page files reserve their pages here.
  ///
  /// - Parameters:
  ///   - offset: a multiple of the page size.
  ///   - byteCount: nil for all that follows `offset`.
  /// - Throws: `EINVAL` (outside of the file, alignment), `ENOMEM` (also: too few huge pages).
  package func map(offset: Int = 0, byteCount: Int? = nil) throws(Errno) -> MemoryMapping {
    guard offset >= 0, offset < self.byteCount else { throw .EINVAL }
    let byteCount = byteCount ?? self.byteCount - offset
    guard byteCount > 0, byteCount <= self.byteCount - offset else { throw .EINVAL }
    return try MemoryMapping.sharedFile(descriptor, offset: offset, byteCount: byteCount)
  }

  /// Binds every page to a NUMA node (if asked) and makes it exist, in one call each: what has to
  /// be done before exporting, because the exporter would fault pages in one at a time.
  ///
  /// - Returns: the mapping through which it was done.
  /// - Throws: as ``map(offset:byteCount:)``, ``MemoryMapping/bind(to:)`` and
  ///   ``MemoryMapping/populate(node:of:)``.
  package func mapPopulated(node: NUMANode? = nil) throws(Errno) -> MemoryMapping {
    let mapping = try map()
    if let node { try mapping.bind(to: node) }
    try mapping.populate(node: node, of: self)
    return mapping
  }

  /// Adds seals. They are for ever.
  ///
  /// - Throws: `EPERM` after ``Seals/seal`` or on an unsealable file, `EBUSY` for ``Seals/write``
  ///   while somebody maps or pins the file for writing.
  package func addSeals(_ seals: Seals = .deviceMemory) throws(Errno) {
    try system_memoryFileAddSeals(descriptor.rawValue, seals.rawValue)
  }

  /// The seals that are set, possibly with bits that ``Seals`` has no name for.
  ///
  /// - Throws: nothing that is expected of a memory file.
  package func seals() throws(Errno) -> Seals {
    Seals(rawValue: try system_memoryFileSeals(descriptor.rawValue))
  }

  /// Changes the size of the underlying file, which seals normally forbid: for tests of seals.
  ///
  /// - Throws: `EPERM` where a seal forbids it.
  package func resize(byteCount: Int) throws(Errno) {
    try system_memoryFileResize(descriptor.rawValue, byteCount: byteCount)
  }
}
