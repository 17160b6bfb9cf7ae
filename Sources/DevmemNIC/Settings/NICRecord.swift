// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// What those who share a network card's settings know of each other: how the card was before the
/// first of them came, and what each needs. As a text that people can read, too.
struct NICRecord: Hashable, Sendable {
  /// Settings as they were found; nil, or not listed, is what nobody has changed.
  struct Found: Hashable, Sendable {
    /// `combined` and `rx` of the channels.
    var combined: UInt32?
    var receive: UInt32?
    var dataSplit: RingSettings.DataSplit?
    /// `hds-thresh`
    var threshold: UInt32?
    var spreading: Spreading?
    /// Features that were off, in the order in which they were switched on.
    var featuresOff: [String] = []

    var isEmpty: Bool { self == Found() }
  }

  /// A table of receive side scaling.
  enum Spreading: Hashable, Sendable {
    /// The kernel's default, which follows the number of channels.
    case standard
    case table([UInt32])
  }

  /// Somebody who has the card set up.
  struct Owner: Hashable, Sendable {
    /// The byte of the lock file that it has locked as long as it is there.
    let number: UInt64
    /// Goes on without a process, until it is taken back.
    let isKept: Bool
    let queues: [UInt32]
    var rules: [Rule] = []
  }

  /// A steering rule of an owner.
  struct Rule: Hashable, Sendable {
    let rule: SteeringRule
    /// Where it is; nil while it is being inserted.
    var location: UInt32?
    /// While it is being inserted: the places that were taken before, by others' rules.
    var taken: [UInt32] = []
  }

  var found = Found()
  var owners: [Owner] = []

  var isEmpty: Bool { found.isEmpty && owners.isEmpty }

  /// The queues that other traffic is kept off.
  var queues: Set<UInt32> { Set(owners.flatMap(\.queues)) }
}

extension NICRecord {
  private static let title = "swift-devmem network card settings, version 1"

  /// One line for each thing.
  ///
  /// - Parameter boot: the identifier of this boot: after another one the card is as new.
  func text(boot: String) -> String {
    var lines = [Self.title, "boot \(boot)"]
    if let combined = found.combined { lines.append("found combined \(combined)") }
    if let receive = found.receive { lines.append("found receive \(receive)") }
    if let split = found.dataSplit { lines.append("found split \(split.word)") }
    if let threshold = found.threshold { lines.append("found threshold \(threshold)") }
    switch found.spreading {
    case .standard: lines.append("found spreading default")
    case .table(let queues): lines.append("found spreading \(Self.list(queues))")
    case nil: break
    }
    lines += found.featuresOff.map { "found feature-off \($0)" }
    for owner in owners {
      lines.append(
        "owner \(owner.number) \(owner.isKept ? "kept" : "lives") \(Self.list(owner.queues))")
      for rule in owner.rules {
        if let location = rule.location {
          lines.append("rule \(rule.rule.text) at \(location)")
        } else {
          lines.append("rule \(rule.rule.text) beside \(Self.list(rule.taken))")
        }
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// Reads a text; that of another boot is an empty record.
  ///
  /// - Returns: nil for a text that no such version has written.
  init?(_ text: String, boot: String) {
    // By bytes: of characters a line's end and the carriage return before it are one.
    var lines = text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
      line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    }
    guard lines.count >= 2, lines[0].joined(separator: " ") == Self.title, lines[1].count == 2,
      lines[1][0] == "boot"
    else { return nil }
    self.init()
    if lines[1][1] != boot { return }
    lines.removeFirst(2)
    for words in lines {
      guard words.count >= 3 else { return nil }
      let isRead =
        switch words[0] {
        case "found": readFound(words[1], Array(words[2...]))
        case "owner": readOwner(words)
        case "rule": readRule(words)
        default: false
        }
      guard isRead else { return nil }
    }
  }

  private mutating func readFound(_ name: String, _ words: [String]) -> Bool {
    switch name {
    case "combined": found.combined = UInt32(words[0])
    case "receive": found.receive = UInt32(words[0])
    case "split": found.dataSplit = RingSettings.DataSplit(word: words[0])
    case "threshold": found.threshold = UInt32(words[0])
    case "spreading" where words[0] == "default": found.spreading = .standard
    case "spreading":
      guard let queues = Self.numbers(words[0]) else { return false }
      found.spreading = .table(queues)
    case "feature-off": found.featuresOff.append(words[0])
    default: return false
    }
    return words.count == 1
  }

  private mutating func readOwner(_ words: [String]) -> Bool {
    guard words.count == 4, let number = UInt64(words[1]), let queues = Self.numbers(words[3])
    else { return false }
    owners.append(Owner(number: number, isKept: words[2] == "kept", queues: queues))
    return true
  }

  private mutating func readRule(_ words: [String]) -> Bool {
    guard words.count == 4, !owners.isEmpty, let rule = SteeringRule(text: words[1])
    else { return false }
    var read = Rule(rule: rule)
    if words[2] == "at" {
      guard let location = UInt32(words[3]) else { return false }
      read.location = location
    } else {
      guard let taken = Self.numbers(words[3]) else { return false }
      read.taken = taken
    }
    owners[owners.count - 1].rules.append(read)
    return true
  }

  /// "1,2,3", "-" for none
  private static func list(_ numbers: [UInt32]) -> String {
    numbers.isEmpty ? "-" : numbers.map(String.init).joined(separator: ",")
  }

  private static func numbers(_ text: String) -> [UInt32]? {
    if text == "-" { return [] }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { UInt32($0) }
    return numbers.count == parts.count ? numbers : nil
  }
}

extension SteeringRule {
  /// "tcp6,queue,context,source address or -,port or -,destination address or -,port or -": for
  /// records and for arguments.
  package var text: String {
    func text<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "-" }
    return [
      text(transport), "\(queue)", "\(context)", text(source.address), text(source.port),
      text(destination.address), text(destination.port),
    ].joined(separator: ",")
  }

  /// Reads ``text``; nil for another one.
  package init?(text: String) {
    let fields = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let transports: [String: Transport] = [
      "tcp4": .tcp4, "udp4": .udp4, "tcp6": .tcp6, "udp6": .udp6,
    ]
    guard fields.count == 7, let transport = transports[fields[0]], let queue = UInt32(fields[1]),
      let context = UInt32(fields[2])
    else { return nil }
    func endpoint(_ address: String, _ port: String) -> Endpoint {
      Endpoint(address: IPAddress(address), port: UInt16(port))
    }
    self.init(
      transport, source: endpoint(fields[3], fields[4]),
      destination: endpoint(fields[5], fields[6]), queue: queue, context: context)
  }

  /// Whether a rule that was read from a card steers the same flows to the same queue.
  func isSame(as other: SteeringRule) -> Bool {
    transport == other.transport && source == other.source && destination == other.destination
      && queue == other.queue && context == other.context
  }
}

extension RingSettings.DataSplit {
  /// ethtool's word for it.
  package var word: String {
    switch self {
    case .automatic: "auto"
    case .disabled: "off"
    case .enabled: "on"
    }
  }

  init?(word: String) {
    switch word {
    case "auto": self = .automatic
    case "off": self = .disabled
    case "on": self = .enabled
    default: return nil
    }
  }
}
