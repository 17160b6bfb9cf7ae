// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// What this process and its kernel say of themselves.
package enum SystemProcess {
  /// The kernel's release, "6.12.95+deb13-amd64" (`uname(2)`).
  ///
  /// - Throws: nothing that is expected.
  package static func kernelRelease() throws(Errno) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    let count = try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      unsafe try system_kernelRelease(buffer)
    }
    return String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// The effective user's number; 0 is root.
  package static var effectiveUser: UInt32 { csystem_process_effective_user() }

  /// A command that needs root as this user has to type it: with sudo, or as it is.
  package static func asRoot(_ command: String) -> String {
    effectiveUser == 0 ? command : "sudo \(command)"
  }

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

  /// Starts a program with this process's environment, no signal blocked and none ignored.
  ///
  /// - Parameters:
  ///   - path: of the program.
  ///   - arguments: its name first.
  ///   - descriptor: what the program gets besides standard input, output and error; stays ours.
  ///   - number: the descriptor's number there.
  /// - Returns: the process's number; the caller has to wait for it.
  /// - Throws: `ENOENT`, `EACCES`, `EAGAIN` (too many processes), `ENOMEM`.
  package static func spawn(
    _ path: String, _ arguments: [String], passing descriptor: borrowing OwnedFileDescriptor,
    as number: Int32
  ) throws(Errno) -> Int32 {
    try system_spawn(path, arguments, descriptor: descriptor.rawValue, as: number)
  }

  /// The arguments of this program, its name first; also where /proc is not.
  package static var arguments: [String] {
    var arguments: [String] = []
    while let argument = unsafe csystem_process_argument(Int32(arguments.count)) {
      arguments.append(unsafe String(cString: argument))
    }
    return arguments
  }

  /// The path by which this program was started: what there is where /proc is not.
  package static var executablePath: String {
    unsafe String(cString: csystem_process_executable_path())
  }

  /// Bytes of a base page: 4096 on x86-64.
  package static var pageByteCount: Int {
    SystemCallSeam.basePageByteCount ?? Int(csystem_process_page_byte_count())
  }

  /// Bytes that could be allocated now without pushing others out (`MemAvailable` of
  /// /proc/meminfo).
  ///
  /// - Throws: `ENOENT` without /proc, `EINVAL` if the line is missing.
  package static func availableMemoryByteCount() throws(Errno) -> Int {
    guard let byteCount = MemoryLimits.available(try SystemFile.text(at: "/proc/meminfo")) else {
      throw .EINVAL
    }
    return byteCount
  }

  /// Open files this process may have (`RLIMIT_NOFILE`); nil is unlimited.
  ///
  /// - Throws: nothing that is expected.
  package static func openFileLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(0))
  }

  /// Bytes of address space this process may have (`RLIMIT_AS`); nil is unlimited.
  package static func addressSpaceLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(2))
  }

  /// Bytes that a file may have which this process writes (`RLIMIT_FSIZE`); nil is unlimited.
  package static func fileSizeLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(3))
  }

  /// Bytes this process may lock (`RLIMIT_MEMLOCK`); nil is unlimited.
  ///
  /// - Throws: nothing that is expected.
  package static func lockedByteLimit() throws(Errno) -> Int? {
    Int(exactly: try system_limit(1))
  }
}
