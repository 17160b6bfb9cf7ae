// SPDX-License-Identifier: Apache-2.0

/// `/proc/self/pagemap` (Documentation/admin-guide/mm/pagemap.rst): which physical page is behind
/// an address.
package struct PageMap: ~Copyable, Sendable {
  /// What the kernel says about one base page.
  package struct Entry: Hashable, Sendable {
    /// The 64 bits as read.
    package let rawValue: UInt64

    /// Wraps 64 bits as read.
    package init(rawValue: UInt64) {
      self.rawValue = rawValue
    }

    /// The page is in memory (bit 63).
    package var isPresent: Bool { rawValue >> 63 != 0 }
    /// The page is in swap (bit 62).
    package var isSwapped: Bool { rawValue >> 62 & 1 != 0 }
    /// The physical page number (bits 0 to 54), or nil: not present, or the kernel hides it, which
    /// reads as number 0, from who lacks CAP_SYS_ADMIN.
    package var frameNumber: UInt64? {
      let number = rawValue & (1 << 55 - 1)
      return isPresent && number != 0 ? number : nil
    }
  }

  private let descriptor: OwnedFileDescriptor

  /// Opens the page map of this process.
  ///
  /// - Throws: `ENOENT` (no /proc, or a kernel without CONFIG_PROC_PAGE_MONITOR), `EACCES`,
  ///   `EPERM`, `EMFILE`.
  package init() throws(Errno) {
    self.descriptor = try system_open("/proc/self/pagemap", writable: false)
  }

  /// The entries of a range of base pages. Pages that were never touched are not present.
  ///
  /// - Parameters:
  ///   - address: the first page's address.
  ///   - pageCount: how many base pages.
  /// - Throws: `EINVAL` if the range leaves the address space; what `pread(2)` answers.
  @safe package func entries(
    of address: UnsafeRawPointer, pageCount: Int
  ) throws(Errno) -> [Entry] {
    guard pageCount >= 0 else { throw .EINVAL }
    var words = [UInt64](repeating: 0, count: pageCount)
    let number = descriptor.rawValue
    let firstPage = UInt64(UInt(bitPattern: address)) / UInt64(SystemProcess.pageByteCount)
    let isComplete = try unsafe words.withUnsafeMutableBufferPointer {
      words throws(Errno) -> Bool in
      let bytes = UnsafeMutableRawBufferPointer(words)
      var done = 0
      while done < bytes.count {
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
        let count = try unsafe system_readAt(number, rest, offset: firstPage * 8 + UInt64(done))
        if count == 0 { return false }
        done += count
      }
      return true
    }
    guard isComplete else { throw .EINVAL }
    return words.map(Entry.init)
  }

  /// The physical page numbers of a range, or nil where the kernel hides them (no CAP_SYS_ADMIN) or
  /// where a page is not present.
  ///
  /// - Throws: as ``entries(of:pageCount:)``.
  @safe package func frameNumbers(
    of address: UnsafeRawPointer, pageCount: Int
  ) throws(Errno) -> [UInt64]? {
    var numbers: [UInt64] = []
    numbers.reserveCapacity(pageCount)
    for entry in try entries(of: address, pageCount: pageCount) {
      guard let number = entry.frameNumber else { return nil }
      numbers.append(number)
    }
    return numbers
  }
}
