// SPDX-License-Identifier: Apache-2.0

/// A fence of a device as a file descriptor (`struct sync_file`, drivers/dma-buf/sync_file.c):
/// readable once it has signalled, which it does once.
package struct SyncFile: ~Copyable, Sendable {
  /// The descriptor, close-on-exec.
  package let descriptor: OwnedFileDescriptor

  /// How far a fence is.
  package enum Status: Hashable, Sendable {
    /// The device is not done yet.
    case pending
    /// The device is done.
    case signalled
    /// The device ended with this error; it uses the memory no more.
    case failed(Errno)
  }

  /// Takes over a descriptor that should be a sync file; ``status()`` says whether it is.
  package init(_ descriptor: consuming OwnedFileDescriptor) {
    self.descriptor = descriptor
  }

  /// How far the fence is (`SYNC_IOC_FILE_INFO`); of several fences in one file, all together.
  ///
  /// - Throws: `ENOTTY`, `EBADF`, `EINVAL` and others if it is no sync file.
  package func status() throws(Errno) -> Status {
    switch try system_syncFileStatus(descriptor.rawValue) {
    case 0: .pending
    case let error where error < 0: .failed(Errno(rawValue: 0 - error))
    default: .signalled
    }
  }

  /// Waits until the fence has signalled, with or without an error.
  ///
  /// - Parameter milliseconds: how long at most; -1 for ever, 0 only asks. Signals do not prolong
  ///   it.
  /// - Returns: false after the time.
  /// - Throws: nothing that is expected.
  package func wait(milliseconds: Int32) throws(Errno) -> Bool {
    try descriptor.wait(for: .readable, milliseconds: milliseconds)
  }
}
