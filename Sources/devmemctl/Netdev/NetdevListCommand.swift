// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemNIC

struct NetdevListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract:
      "Which network interfaces can bind device memory, what the others lack, what is bound.",
    discussion: """
      Changes nothing. Asking about receiving needs CAP_NET_ADMIN, as binding does. The exit \
      status is 0 if at least one interface can receive or send.
      """)

  @Argument(help: "Only this interface.")
  var interface: String?

  @Flag(help: "Print one JSON object on the last line of standard output.")
  var json = false

  func run() throws {
    try reportingErrors {
      let interfaces =
        try interface.map { [try NICCapabilities(of: NetworkInterface(named: $0))] }
        ?? NICCapabilities.all()
      if json {
        try Terminal.output.writeLine(
          JSONValue.object([("interfaces", .array(interfaces.map(\.json)))]).text)
      } else {
        try Terminal.output.write(Self.text(interfaces, for: .output))
      }
      if !interfaces.contains(where: { $0.receive == .supported || $0.transmit == .supported }) {
        throw ExitCode.failure
      }
    }
  }

  static func text(_ interfaces: [NICCapabilities], for terminal: Terminal) -> String {
    var table = Table(
      titles: ["INTERFACE", "DRIVER", "QUEUES", "SPLIT", "RECEIVE", "SEND", "BOUND"])
    for capabilities in interfaces {
      let bound = capabilities.boundQueues.map { "\($0.id):\($0.dmabufID ?? 0)" }
      table.rows.append([
        capabilities.interface.name, capabilities.driver ?? "-",
        capabilities.channels.map { "\($0.current.receiveQueueCount)" } ?? "-",
        capabilities.rings?.splitText ?? "-", capabilities.receive.word, capabilities.transmit.word,
        bound.isEmpty ? "-" : bound.joined(separator: " "),
      ])
    }
    var text = table.text(for: terminal)
    var remedies: [String] = []
    for capabilities in interfaces {
      for (verb, support) in [("receive", capabilities.receive), ("send", capabilities.transmit)] {
        guard let remedy = support.remedy else { continue }
        text += "\(capabilities.interface) \(verb): \(support.summary)\n"
        if !remedies.contains(remedy) { remedies.append(remedy) }
      }
    }
    // Once each: most interfaces lack the same.
    for remedy in remedies { text += terminal.styled("advice: \(remedy)", .dim) + "\n" }
    return text
  }
}

extension NICCapabilities {
  /// Receive queues with a dma-buf.
  var boundQueues: [NetdevQueue] { queues.filter { $0.kind == .receive && $0.dmabufID != nil } }

  var json: JSONValue {
    func number(_ value: UInt32?) -> JSONValue { value.map { .integer(Int($0)) } ?? .null }
    let bound = boundQueues.map { queue -> JSONValue in
      .object([("queue", number(queue.id)), ("dmabuf", number(queue.dmabufID))])
    }
    return .object([
      ("interface", .string(interface.name)), ("index", number(interface.index)),
      ("driver", driver.map { .string($0) } ?? .null),
      ("receiveQueues", number(channels?.current.receiveQueueCount)),
      ("receiveQueuesMaximum", number(channels?.maximum.receiveQueueCount)),
      ("tcpDataSplit", rings?.dataSplit.map { .string($0.word) } ?? .null),
      ("hdsThresh", number(rings?.headerSplitThreshold)),
      ("receive", receive.json), ("send", transmit.json), ("bound", .array(bound)),
    ])
  }
}

extension RingSettings {
  /// "on", "on >64", "off".
  var splitText: String? {
    guard let dataSplit else { return nil }
    let threshold = headerSplitThreshold ?? 0
    return dataSplit.word + (dataSplit == .enabled && threshold > 0 ? " >\(threshold)" : "")
  }
}
