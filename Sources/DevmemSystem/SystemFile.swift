// SPDX-License-Identifier: Apache-2.0

/// Small files of /proc, /sys and /run, and names in directories.
package enum SystemFile {
  /// The whole text of a file.
  ///
  /// - Throws: `ENOENT`, `EACCES` and what else `open(2)` and `read(2)` answer.
  package static func text(at path: String) throws(Errno) -> String {
    let descriptor = try system_open(path, writable: false)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = try unsafe chunk.withUnsafeMutableBufferPointer { buffer throws(Errno) in
        unsafe try system_read(descriptor.rawValue, UnsafeMutableRawBufferPointer(buffer))
      }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// The names in a directory, sorted.
  ///
  /// - Throws: `ENOENT`, `EACCES`, `ENOTDIR`.
  package static func names(in path: String) throws(Errno) -> [String] {
    var capacity = 4096
    while true {
      do {
        return try names(in: path, capacity: capacity)
      } catch {
        // ERANGE: the buffer was too small. 16 MiB of names is no directory of /dev, /proc or /sys.
        guard error == .ERANGE, capacity < 16 << 20 else { throw error }
        capacity *= 4
      }
    }
  }

  private static func names(in path: String, capacity: Int) throws(Errno) -> [String] {
    var buffer = [CChar](repeating: 0, count: capacity)
    let used = try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      unsafe try system_directory(path, buffer)
    }
    return buffer[..<used].split(separator: 0)
      .map { String(decoding: $0.lazy.map(UInt8.init(bitPattern:)), as: UTF8.self) }
      .sorted()
  }

  /// Whether a file can be opened for reading by this process; the descriptor is closed again.
  ///
  /// - Returns: nil if it can, else why not.
  package static func obstacle(at path: String, writable: Bool = false) -> Errno? {
    do {
      _ = try system_open(path, writable: writable)
      return nil
    } catch {
      return error
    }
  }

  /// Makes a folder; one that is there already stays as it is.
  ///
  /// - Throws: `EACCES`, `EROFS`, `ENOENT` without the folder that it is to be in, `ENOSPC`.
  package static func makeFolder(at path: String, mode: UInt32 = 0o755) throws(Errno) {
    try system_makeFolder(path, mode: mode)
  }

  /// Makes a text all there is in a file. Who reads the file finds the old text or the new one,
  /// whenever this process is killed. One at a time may do it, because of the file with ".new" at
  /// the end of its name that is written first.
  ///
  /// - Throws: `EACCES`, `EROFS`, `ENOSPC`, `EDQUOT`; the file is as it was.
  package static func replaceText(
    at path: String, with text: String, mode: UInt32 = 0o644
  ) throws(Errno) {
    let bytes = Array(text.utf8)
    try unsafe bytes.withUnsafeBufferPointer { bytes throws(Errno) in
      unsafe try system_replaceFile(
        path, by: path + ".new", UnsafeRawBufferPointer(bytes), mode: mode)
    }
  }

  /// Removes a file; one that is gone already is as good.
  ///
  /// - Throws: `EACCES`, `EROFS`.
  package static func remove(at path: String) throws(Errno) { try system_removeFile(path) }
}

/// A file that has no bytes, but locks on them (`F_OFD_SETLK`, fcntl(2)): how programs that share
/// something keep each other out, and see who of them is still there.
///
/// The locks are this object's own, also beside another one of the same process, and end with it. A
/// process that is killed gives them up; a child that it has forked, and that goes on, keeps them.
package final class LockFile: Sendable {
  private let descriptor: OwnedFileDescriptor

  /// Opens the file, which is made where it is not there. Nobody else's programs can open it, so
  /// that nobody else can hold a lock.
  ///
  /// - Throws: `EACCES`, `EROFS`, `ENOENT`, `ELOOP` for a link, `EMFILE`.
  package init(at path: String) throws(Errno) {
    descriptor = try system_createFile(path, mode: 0o600)
  }

  /// Opens a file once more that this process has open (/proc/self/fd): its locks are other ones
  /// than those of whoever has the descriptor.
  ///
  /// - Throws: `ENOENT` without /proc, `EMFILE`.
  package init(reopening other: borrowing OwnedFileDescriptor) throws(Errno) {
    descriptor = try system_open("/proc/self/fd/\(other.rawValue)", writable: true)
  }

  /// Takes over an open file, with its locks.
  package init(adopting descriptor: consuming OwnedFileDescriptor) { self.descriptor = descriptor }

  /// The open file's number, to be sent to somebody who then has the same locks. Valid as long as
  /// the object lives.
  package var descriptorNumber: Int32 { descriptor.rawValue }

  /// Locks a byte, without waiting.
  ///
  /// - Parameter byte: below 2^63 - 1.
  /// - Returns: false if somebody else has it.
  package func lock(_ byte: UInt64) throws(Errno) -> Bool {
    do throws(Errno) {
      try system_lockByte(descriptor.rawValue, byte)
      return true
    } catch {
      guard error == .EAGAIN || error == .EACCES else { throw error }
      return false
    }
  }

  /// Locks a byte, waiting until nobody else has it.
  ///
  /// - Parameter isShared: whether others may have it at the same time in the same way.
  package func await(_ byte: UInt64, isShared: Bool) throws(Errno) {
    try system_awaitByte(descriptor.rawValue, byte, isShared: isShared)
  }

  /// Unlocks a byte.
  package func unlock(_ byte: UInt64) { system_unlockByte(descriptor.rawValue, byte) }

  /// Whether somebody else has a byte: false for what this object has itself.
  package func isLockedByOthers(_ byte: UInt64) throws(Errno) -> Bool {
    try system_isByteLocked(descriptor.rawValue, byte)
  }
}
