// SPDX-License-Identifier: Apache-2.0
//
//   Layouts time SEED ROUNDS  lines of: time MIX WORK LAYOUT NS, one for each round, interleaved
//   Layouts count MIX TURNS   runs every loop once, for counting from outside
//   Layouts sizes             lines of: size LAYOUT HOST DEVICE, in bytes a buffer

import DevmemPagePool

/// Whether all layouts gave the same answers about the same buffers.
func verify(_ cells: [Cell], _ order: UnsafePointer<UInt8>, _ mix: Mix) {
  for work in [Work.look, .share] {
    let sums = unsafe cells.filter { unsafe $0.work == work }.map { unsafe $0.run(order, 4096) }
    guard Set(sums).count == 1, sums.first != 0 else {
      fatalError("\(mix) \(work): the layouts disagree: \(sums)")
    }
  }
}

func time(rounds: Int) throws {
  let cells = unsafe try Cell.all()
  let mixes = Mix.allCases
  let orders = unsafe mixes.map { unsafe $0.makeOrder() }
  for position in mixes.indices { unsafe verify(cells, orders[position], mixes[position]) }
  let clock = ContinuousClock()
  for _ in 0..<rounds {
    for position in mixes.indices {
      let order = unsafe orders[position]
      for index in unsafe cells.indices {
        let cell = unsafe cells[index]
        let start = clock.now
        _ = unsafe cell.run(order, Mix.length)
        let each = (clock.now - start) / .nanoseconds(1) / Double(Mix.length)
        unsafe print("time", mixes[position], cell.work, cell.layout, each)
      }
    }
  }
}

func count(_ mix: Mix, turns: Int) throws {
  let order = unsafe mix.makeOrder()
  let cells = unsafe try Cell.all()
  for index in unsafe cells.indices { _ = unsafe cells[index].run(order, turns) }
}

let arguments = CommandLine.arguments.dropFirst()
switch (arguments.first, arguments.dropFirst().first, arguments.last.flatMap { Int($0) }) {
case ("time", let seed?, let rounds?):
  unsafe Placement.seed = UInt64(seed) ?? 1
  try time(rounds: rounds)
case ("count", let name?, let turns?):
  guard let mix = Mix(rawValue: name) else { fatalError("no mix \(name)") }
  try count(mix, turns: turns)
case ("sizes", _, _):
  let sizes: [(String, (host: Int, device: Int))] = [
    ("A", Tagged.recordByteCounts), ("B", Common.recordByteCounts),
    ("C", Mirrored.recordByteCounts), ("D", Hybrid.recordByteCounts),
    ("E", Area.recordByteCounts),
    ("P", (MemoryLayout<NetIOV>.stride, MemoryLayout<NetIOV>.stride)),
  ]
  for (layout, bytes) in sizes { print("size", layout, bytes.host, bytes.device) }
default:
  fatalError("usage: Layouts time SEED ROUNDS | count MIX TURNS | sizes")
}
