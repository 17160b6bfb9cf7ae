// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

// The steps, in their order. Each writes down what it has changed as soon as it has.
extension NICSetup {
  static func apply(
    to interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule], _ state: inout State
  ) throws(DevmemNetError) {
    guard let last = queues.max(), Set(queues).count == queues.count else {
      throw invalid(interface, "Name at least one queue, and each once.")
    }
    for rule in rules where rule.context == 0 && !queues.contains(where: { $0 == rule.queue }) {
      throw invalid(
        interface, "A rule steers to queue \(rule.queue), which is not among the queues.")
    }
    // Before anything is changed: without the split there is no point in the rest.
    let rings = try state.ethtool.rings(of: interface)
    let queueCount = try raiseChannels(on: interface, queues: queues, last: last, &state)
    try splitHeaders(on: interface, rings, &state)
    try limitSpreading(on: interface, queues: queues, queueCount: queueCount, &state)
    if !rules.isEmpty {
      try switchFilters(on: interface, &state)
      for rule in rules {
        let location = try state.ethtool.insertRule(rule, on: interface)
        state.changes.append(.rule(location: location))
      }
    }
  }

  /// Sees to it that the queues are there, and one besides.
  ///
  /// - Returns: the number of receive queues.
  private static func raiseChannels(
    on interface: NetworkInterface, queues: [UInt32], last: UInt32, _ state: inout State
  ) throws(DevmemNetError) -> UInt32 {
    let channels = try state.ethtool.channels(of: interface)
    let current = channels.current.receiveQueueCount
    // One for everybody else, also when the queues named are all the first ones.
    let needed = max(last + 1, UInt32(queues.count) + 1)
    if current >= needed { return current }
    let missing = needed - current
    let combined = channels.current.combined + missing
    let receive = channels.current.receive + missing
    if combined <= channels.maximum.combined {
      try state.ethtool.setChannels(of: interface, combined: combined)
      state.changes.append(.channels(combined: channels.current.combined, receive: nil))
    } else if receive <= channels.maximum.receive {
      try state.ethtool.setChannels(of: interface, receive: receive)
      state.changes.append(.channels(combined: nil, receive: channels.current.receive))
    } else {
      throw DevmemNetError(
        .settingUnsupported, "making \(needed) receive queues on \(interface)",
        interface: interface,
        remedy: "It has at most \(channels.maximum.receiveQueueCount): name lower queues.")
    }
    return needed
  }

  /// Header/data split on, threshold 0.
  private static func splitHeaders(
    on interface: NetworkInterface, _ rings: RingSettings, _ state: inout State
  ) throws(DevmemNetError) {
    let threshold = rings.headerSplitThreshold ?? 0
    // Also where it reads as on already: a driver may split by itself what the core was not told to,
    // and the core does not bind then. That cannot be seen, and so is not put back.
    try state.ethtool.setHeaderSplit(
      of: interface, dataSplit: .enabled, threshold: threshold == 0 ? nil : 0)
    if rings.dataSplit != .enabled || threshold != 0 {
      state.changes.append(
        .headerSplit(
          rings.dataSplit == .enabled ? nil : rings.dataSplit ?? .automatic,
          threshold: threshold == 0 ? nil : threshold))
    }
  }

  /// Takes the queues out of receive side scaling.
  private static func limitSpreading(
    on interface: NetworkInterface, queues: [UInt32], queueCount: UInt32, _ state: inout State
  ) throws(DevmemNetError) {
    let old = try state.ethtool.rss(of: interface).indirection
    guard !old.isEmpty else {
      throw DevmemNetError(
        .settingUnsupported, "keeping other traffic off queues of \(interface)",
        interface: interface,
        remedy: "It has no table of receive side scaling that could be changed.")
    }
    guard old.contains(where: queues.contains) else { return }
    let others = (0..<queueCount).filter { !queues.contains($0) }
    try state.ethtool.setRSS(
      of: interface, indirection: old.indices.map { others[$0 % others.count] })
    let isDefault =
      old == RSSSettings.defaultIndirection(size: old.count, queueCount: Int(queueCount))
    state.changes.append(.indirection(isDefault ? [] : old))
  }

  /// Switches the card's filters on, where they can be switched.
  private static func switchFilters(
    on interface: NetworkInterface, _ state: inout State
  ) throws(DevmemNetError) {
    // NETIF_F_NTUPLE
    let name = "rx-ntuple-filter"
    let features = try state.ethtool.features(of: interface)
    guard !features.active.contains(name), features.changeable.contains(name) else { return }
    try state.ethtool.setFeature(name, true, of: interface)
    state.changes.append(.feature(name, wasOn: false))
  }

  private static func invalid(_ interface: NetworkInterface, _ remedy: String) -> DevmemNetError {
    DevmemNetError(
      .invalidArgument, "setting \(interface) up for device memory", interface: interface,
      remedy: remedy)
  }
}
