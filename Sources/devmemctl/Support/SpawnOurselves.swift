// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Starts this program anew (no forked state), with nothing open but standard input, output and error,
/// and one descriptor of ours.
///
/// - Parameters:
///   - arguments: without the program's name.
///   - descriptor: ours; it stays open here.
///   - number: the descriptor's number there.
/// - Returns: the process's number; the caller has to wait for it.
func spawnOurselves(
  _ arguments: [String], passing descriptor: Int32, as number: Int32
) throws -> pid_t {
  var actions = unsafe posix_spawn_file_actions_t()
  unsafe posix_spawn_file_actions_init(&actions)
  defer { unsafe posix_spawn_file_actions_destroy(&actions) }
  // The copy is not close-on-exec, unlike all else that is open here.
  unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, number)
  let environment = (FileTree().text("/proc/self/environ") ?? "").split(separator: "\0")
  var processID: pid_t = 0
  let error = unsafe withCStrings(["devmemctl"] + arguments) { arguments in
    unsafe withCStrings(environment.map(String.init)) { environment in
      unsafe posix_spawn(&processID, "/proc/self/exe", &actions, nil, arguments, environment)
    }
  }
  guard error == 0 else {
    throw CommandError("devmemctl \(arguments[0]) does not start: \(errorText(error))")
  }
  return processID
}

/// Waits for a child's end.
///
/// - Returns: its exit status; for one that was killed, the signal's number + 128.
func waitForProcess(_ processID: pid_t) -> Int32 {
  var status: Int32 = 0
  while unsafe waitpid(processID, &status, 0) < 0 {
    guard errno == EINTR else { return -1 }
  }
  return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
}

/// A NULL-terminated array of C strings, valid during the call.
private func withCStrings<Result>(
  _ strings: [String],
  _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) throws -> Result
) rethrows -> Result {
  var pointers = unsafe strings.map { unsafe strdup($0) }
  defer { unsafe pointers.forEach { unsafe free($0) } }
  unsafe pointers.append(nil)
  return try unsafe body(pointers)
}
