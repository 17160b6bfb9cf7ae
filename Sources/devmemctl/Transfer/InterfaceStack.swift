// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import DevmemSystem

/// The network card that is meant, and the interfaces above it (a VLAN, a bridge, a bond) that have
/// its addresses.
struct InterfaceStack {
  /// What memory is bound to.
  let card: NetworkInterface
  /// Interfaces above the card, by name: connections to their addresses come in there.
  let upper: [String]

  /// Finds the card of a name, which may be that of an interface above it.
  ///
  /// - Throws: `CommandError` for one above several cards, and for a card that is down.
  init(named name: String, files: FileTree = FileTree()) throws {
    let named = try NetworkInterface(named: name)
    var cards = Self.lowest(below: named.name, files)
    cards.sort()
    guard cards.count == 1 else {
      throw CommandError(
        "\(named) lies above several cards: \(cards.joined(separator: ", "))",
        remedy: "Name the card whose queues are to be bound: --interface \(cards[0])")
    }
    card = cards[0] == named.name ? named : try NetworkInterface(named: cards[0])
    upper = Self.related(to: card.name, "upper_", files)
    for interface in [card.name, named.name] where Self.isDown(interface, files) {
      throw CommandError(
        "\(interface) is down, so nothing comes in there",
        remedy: SystemProcess.asRoot("ip link set \(interface) up"))
    }
  }

  /// Where a listening socket is kept to; nil where connections come in by interfaces above the
  /// card.
  var listeningInterface: String? { upper.isEmpty ? card.name : nil }

  private static func isDown(_ name: String, _ files: FileTree) -> Bool {
    // "0x1003"; IFF_UP is bit 0.
    guard let flags = files.value("/sys/class/net/\(name)/flags"), flags.hasPrefix("0x"),
      let bits = UInt32(flags.dropFirst(2), radix: 16)
    else { return false }
    return bits & 1 == 0
  }

  /// The interfaces that have none below them.
  private static func lowest(below name: String, _ files: FileTree) -> [String] {
    var found: Set<String> = []
    var seen: Set<String> = []
    var rest = [name]
    while let next = rest.popLast() {
      guard seen.insert(next).inserted else { continue }
      let below = related(to: next, "lower_", files)
      if below.isEmpty { found.insert(next) } else { rest += below }
    }
    return Array(found)
  }

  private static func related(to name: String, _ prefix: String, _ files: FileTree) -> [String] {
    files.entries("/sys/class/net/\(name)").filter { $0.hasPrefix(prefix) }
      .map { String($0.dropFirst(prefix.count)) }
  }
}
