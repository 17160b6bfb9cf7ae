// SPDX-License-Identifier: Apache-2.0

import CPeerBench

// The protocol of CPeerBench's peer_serve: `ours CASE COUNT` runs one case once; without
// arguments each line "CASE COUNT" on standard input is answered with nanoseconds per buffer.

func measure(_ cases: Cases, _ name: String, _ count: Int) throws -> Double {
  guard let result = try cases.run(name, count) else { fatalError("no case \(name)") }
  return Double(result.nanoseconds) / Double(result.count)
}

_ = peer_pin(peer_first_cpu())
let cases = try Cases()
if CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]) {
  _ = try measure(cases, CommandLine.arguments[1], count)
} else {
  while let line = readLine() {
    let words = line.split(separator: " ")
    guard words.count == 2, let count = Int(words[1]) else { fatalError("not a case: \(line)") }
    print(try measure(cases, String(words[0]), count))
    peer_flush()
  }
}
