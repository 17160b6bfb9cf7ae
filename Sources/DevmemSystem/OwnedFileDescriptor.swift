// SPDX-License-Identifier: Apache-2.0

/// A file descriptor with exactly one owner: closed when the value ends, on any thread.
///
/// Every descriptor that this module makes is close-on-exec.
public struct OwnedFileDescriptor: ~Copyable, Sendable {
  /// The descriptor's number, >= 0. Borrowed: closing it elsewhere is a bug that traps here.
  public let rawValue: Int32

  /// Takes over a descriptor that nobody else will close.
  public init(owning rawValue: Int32) {
    precondition(rawValue >= 0, "a file descriptor is not negative")
    self.rawValue = rawValue
  }

  deinit {
    system_close(rawValue)
  }

  /// A second descriptor of the same open file, close-on-exec (`F_DUPFD_CLOEXEC`).
  ///
  /// - Throws: `EMFILE`.
  public func duplicate() throws(Errno) -> OwnedFileDescriptor {
    try system_duplicate(rawValue)
  }

  /// Gives the descriptor away: the caller has to close it.
  public consuming func release() -> Int32 {
    let number = rawValue
    discard self
    return number
  }

  /// What the descriptor refers to.
  ///
  /// - Throws: nothing that is expected (`fstat(2)` of an open descriptor).
  package func identity() throws(Errno) -> FileIdentity {
    try system_identity(rawValue)
  }
}

/// What names a file, a memory file or a dma-buf as long as it lives: `st_dev` and `st_ino`.
package struct FileIdentity: Hashable, Sendable {
  /// `st_dev`: for dma-bufs and for memory files that of a file system inside the kernel.
  package let device: UInt64
  /// `st_ino`. Reused after the file has gone.
  package let inode: UInt64

  /// Names a file by its numbers.
  package init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}
