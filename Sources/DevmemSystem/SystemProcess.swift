// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// What this process and its kernel say of themselves.
public enum SystemProcess {
  /// The kernel's release, "6.12.95+deb13-amd64" (`uname(2)`).
  ///
  /// - Throws: nothing that is expected.
  public static func kernelRelease() throws(Errno) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    let count = try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      unsafe try system_kernelRelease(buffer)
    }
    return String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// The effective user's number; 0 is root.
  public static var effectiveUser: UInt32 { csystem_process_effective_user() }

  /// Becomes another user (all threads of the process: glibc sees to it). For tests.
  ///
  /// - Throws: `EPERM`.
  package static func setEffectiveUser(_ user: UInt32) throws(Errno) {
    try system_setEffectiveUser(user)
  }

  /// Keeps the calling thread on one processor from now on.
  ///
  /// - Throws: `EINVAL` for a processor that is not there, or that this process may not use.
  package static func setProcessor(_ processor: Int) throws(Errno) {
    try system_setProcessor(processor)
  }

  /// Bytes of a base page: 4096 on x86-64.
  public static var pageByteCount: Int { Int(csystem_process_page_byte_count()) }

  /// Bytes that could be allocated now without pushing others out (`MemAvailable` of /proc/meminfo).
  ///
  /// - Throws: `ENOENT` without /proc, `EINVAL` if the line is missing.
  public static func availableMemoryByteCount() throws(Errno) -> Int {
    for line in try SystemFile.text(at: "/proc/meminfo").split(separator: "\n")
    where line.hasPrefix("MemAvailable:") {
      // "MemAvailable:   22993340 kB"
      let fields = line.split(separator: " ")
      if fields.count >= 2, let kibibytes = Int(fields[1]) { return kibibytes << 10 }
    }
    throw .EINVAL
  }

  /// Open files this process may have (`RLIMIT_NOFILE`); nil is unlimited.
  ///
  /// - Throws: nothing that is expected.
  public static func openFileLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(0))
  }

  /// Bytes this process may lock (`RLIMIT_MEMLOCK`); nil is unlimited.
  ///
  /// - Throws: nothing that is expected.
  public static func lockedByteLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(1))
  }
}
