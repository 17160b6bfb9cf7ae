// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

/// One thing that ``NICSetup`` has changed: how to put it back, and what a person would type to.
enum NICChange: Hashable, Sendable {
  /// A feature that was switched; `wasOn` is what it was.
  case feature(String, wasOn: Bool)
  /// Channels as they were.
  case channels(combined: UInt32?, receive: UInt32?)
  /// Header/data split as it was; nil where it was not changed.
  case headerSplit(RingSettings.DataSplit?, threshold: UInt32?)
  /// The table as it was; empty for the kernel's default.
  case indirection([UInt32])
  /// A rule that was inserted.
  case rule(location: UInt32)

  func undo(
    on interface: NetworkInterface, _ ethtool: inout EthtoolFamily
  ) throws(DevmemError) {
    switch self {
    case .feature(let name, let wasOn): try ethtool.setFeature(name, wasOn, of: interface)
    case .channels(let combined, let receive):
      try ethtool.setChannels(of: interface, combined: combined, receive: receive)
    case .headerSplit(let split, let threshold):
      do throws(DevmemError) {
        try ethtool.setHeaderSplit(of: interface, dataSplit: split, threshold: threshold)
      } catch {
        // "off" as the driver told it may be what "auto" comes to, and may not be settable (bnxt).
        guard split == .disabled, error.code == .settingRefused else { throw error }
        try ethtool.setHeaderSplit(of: interface, dataSplit: .automatic, threshold: threshold)
      }
    case .indirection(let queues): try ethtool.setRSS(of: interface, indirection: queues)
    case .rule(let location): try ethtool.deleteRule(at: location, of: interface)
    }
  }

  /// For a shell.
  func command(on interface: NetworkInterface) -> String {
    switch self {
    case .feature(let name, let wasOn): "ethtool -K \(interface) \(name) \(wasOn ? "on" : "off")"
    case .channels(let combined, let receive):
      "ethtool -L \(interface)" + (combined.map { " combined \($0)" } ?? "")
        + (receive.map { " rx \($0)" } ?? "")
    case .headerSplit(let split, let threshold):
      "ethtool -G \(interface)" + (split.map { " tcp-data-split \($0.word)" } ?? "")
        + (threshold.map { " hds-thresh \($0)" } ?? "")
    case .indirection(let queues): "ethtool -X \(interface) " + Self.words(for: queues)
    case .rule(let location): "ethtool -N \(interface) delete \(location)"
    }
  }

  /// A table in ethtool's words: the default, or how many entries each queue has. The order of the
  /// entries is lost.
  private static func words(for queues: [UInt32]) -> String {
    guard let last = queues.max() else { return "default" }
    var weights = [Int](repeating: 0, count: Int(last) + 1)
    for queue in queues { weights[Int(queue)] += 1 }
    return "weight " + weights.map(String.init).joined(separator: " ")
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
}
