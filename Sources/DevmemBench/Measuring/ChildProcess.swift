// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs a command and collects what it says.
enum ChildProcess {
  /// The path of this program's file, nil where it cannot be read.
  static var ownPath: String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
    guard count > 0, count < buffer.count else { return nil }
    return String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// - Parameter arguments: the command, looked for in PATH, and its arguments.
  /// - Returns: standard output and standard error together, and the exit status (127: no such
  ///   command).
  static func output(of arguments: [String]) throws -> (text: String, status: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw failure("pipe", errno) }
    defer { close(ends[0]) }

    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO)
    unsafe posix_spawn_file_actions_addclose(&actions, ends[1])

    var vector: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) }
    defer { unsafe vector.forEach { unsafe free($0) } }
    unsafe vector.append(nil)
    // Hashing with random seeds makes the start-up of a program cost another number of instructions
    // each time.
    unsafe setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    var child = pid_t()
    let error = unsafe posix_spawnp(&child, arguments[0], &actions, nil, vector, environ)
    close(ends[1])
    guard error == 0 else {
      throw BenchError.counting("\(arguments[0]) could not be run: \(text(of: error))")
    }
    let said = readAll(ends[0])
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
    return (said, status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + status & 0x7F)
  }

  private static func readAll(_ descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += buffer[..<count]
    }
  }

  private static func failure(_ call: String, _ error: Int32) -> BenchError {
    .counting("\(call): \(text(of: error))")
  }

  private static func text(of error: Int32) -> String { unsafe String(cString: strerror(error)) }
}
