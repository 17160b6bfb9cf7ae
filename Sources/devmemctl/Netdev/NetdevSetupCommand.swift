// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemNIC
import DevmemSystem

/// What sets a card up, in one command or another.
struct CardOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Receive queues, separated by commas (default: the last one that nobody has).",
      valueName: "list"))
  var queues: QueueList?

  @Option(
    help: ArgumentHelp(
      "Steer TCP to this local port to the queues; may be repeated, and takes the queues in turn.",
      valueName: "port"))
  var port: [UInt16] = []

  /// Both families: who connects chooses.
  func rules(_ queues: [UInt32]) -> [SteeringRule] {
    port.enumerated().flatMap { position, port in
      [SteeringRule.Transport.tcp4, .tcp6].map {
        SteeringRule(
          $0, destination: .init(port: port), queue: queues[position % queues.count])
      }
    }
  }
}

struct NetdevSetupCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "setup",
    abstract: "Set a network card up for device memory, until it is restored.",
    discussion: """
      Header/data split on with a threshold of 0, enough channels, the queues out of receive side \
      scaling, rules that steer the ports to the queues: what `recv` and `netdev bind` do for as \
      long as they run. For programs that bind by themselves, and for `--no-setup`. Prints what \
      has changed; `netdev restore` puts back what was found, and so does the next boot. Needs root.
      """)

  @Argument(help: "The network card, such as eth0.")
  var interface: String

  @OptionGroup var card: CardOptions

  @Flag(help: "Print one JSON object.")
  var json = false

  func run() throws {
    try reportingErrors {
      let interface = try NetworkInterface(named: interface)
      let queues = try card.queues?.queues ?? NICSetup.lastQueues(1, of: interface)
      let before = try NICSnapshot(of: interface)
      for warning in try NICSetup.keep(interface, queues: queues, rules: card.rules(queues)) {
        Terminal.error.noteLine("warning: \(warning)")
      }
      try report(queues, NICSnapshot(of: interface).changes(since: before))
    }
  }

  private func report(_ queues: [UInt32], _ changes: [String]) throws(CommandError) {
    if json {
      return try Terminal.output.writeLine(
        JSONValue.object([
          ("interface", .string(interface)),
          ("queues", .array(queues.map { .integer(Int($0)) })),
          ("changes", .array(changes.map { .string($0) })),
        ]).text)
    }
    let list = queues.map(String.init).joined(separator: ", ")
    try Terminal.output.writeLine(
      "\(interface) is set up for device memory on queue\(queues.count == 1 ? "" : "s") \(list)")
    for change in changes { try Terminal.output.writeLine("  \(change)") }
    try Terminal.output.writeLine(
      "back: "
        + SystemProcess.asRoot("\(SystemProcess.executablePath) netdev restore \(interface)"))
  }
}

struct NetdevRestoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Put a network card back as it was before `netdev setup`, or after a killed program.",
    discussion: """
      Takes out what `netdev setup` has put in, and what programs have left that were killed. \
      What a running program needs stays until that ends. Memory has to be unbound before. Prints \
      what has changed. Needs root.
      """)

  @Argument(help: "The network card, such as eth0.")
  var interface: String

  func run() throws {
    try reportingErrors {
      let interface = try NetworkInterface(named: interface)
      let before = try NICSnapshot(of: interface)
      let others = try NICSetup.restoreKept(on: interface)
      let changes = try NICSnapshot(of: interface).changes(since: before)
      for change in changes { try Terminal.output.writeLine(change) }
      try Terminal.output.writeLine(
        others > 0
          ? "\(interface) stays set up for \(others) running program\(others == 1 ? "" : "s")"
          : changes.isEmpty
            ? "\(interface) has nothing to be put back" : "\(interface) is as it was found")
    }
  }
}
