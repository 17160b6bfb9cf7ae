// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemNIC
import Glibc

// Users of the library's NICSetup in processes of their own, for SharedCardTests to kill. Forked,
// so that hundreds of them start in little time: this process has one thread and opens nothing.
//
// Reads commands, one a line: "start QUEUE PORT" answers the new process's number, "wait NUMBER"
// its exit status, or 128 and the signal's number.
guard CommandLine.arguments.count == 2 else {
  print("usage: DevmemCardOwner INTERFACE")
  exit(64)
}

/// Writes a line at once, which print() does not where nobody watches.
func say(_ text: String, _ descriptor: Int32 = STDOUT_FILENO) {
  let bytes = Array((text + "\n").utf8)
  _ = unsafe write(descriptor, bytes, bytes.count)
}

/// Sets the card up, binds memory to one queue, and puts everything back on SIGUSR1. Nobody
/// outlives it who would.
func own(_ queue: UInt32, _ port: UInt16, _ signals: inout sigset_t) -> Int32 {
  do {
    let card = try NetworkInterface(named: CommandLine.arguments[1])
    let setup = try NICSetup(
      card, queues: [queue],
      rules: [SteeringRule(.tcp4, destination: .init(port: port), queue: queue)])
    let buffer = try DMABuf.udmabuf(byteCount: 256 << 10)
    let binding = try NetdevBinding.receive(buffer, interface: card, queues: [queue])
    var signal: Int32 = 0
    unsafe sigwait(&signals, &signal)
    binding.close()
    try setup.restore()
    return 0
  } catch {
    // Somebody else had the queue.
    if error.code == .queueBound { return 3 }
    say("\(error)", STDERR_FILENO)
    return 1
  }
}

var signals = sigset_t()
unsafe sigemptyset(&signals)
unsafe sigaddset(&signals, SIGUSR1)
unsafe sigprocmask(SIG_BLOCK, &signals, nil)
while let line = readLine() {
  let words = line.split(separator: " ")
  if words.count == 3, words[0] == "start", let queue = UInt32(words[1]),
    let port = UInt16(words[2])
  {
    let process = ctest_fork()
    if process == 0 { _exit(own(queue, port, &signals)) }
    say("\(process)")
  } else if words.count == 2, words[0] == "wait", let process = pid_t(words[1]) {
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0 && errno == EINTR {}
    say("\(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F)")
  } else {
    say("no command: \(line)")
  }
}
