// SPDX-License-Identifier: Apache-2.0

/// Small files of /proc and /sys, and names in directories.
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
}
