// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

// The steps, in their order. Each writes down what it is about to change before it does.
extension NICSetup {
  static func apply(
    to interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule], _ state: inout State
  ) throws(DevmemError) {
    guard let last = queues.max(), Set(queues).count == queues.count else {
      throw invalid(interface, "Name at least one queue, and each once.")
    }
    for rule in rules where rule.context == 0 && !queues.contains(where: { $0 == rule.queue }) {
      throw invalid(
        interface, "A rule steers to queue \(rule.queue), which is not among the queues.")
    }
    try NICCapabilities.requireReceive(on: interface)
    let rings = try state.ethtool.rings(of: interface)
    let queueCount = try raiseChannels(on: interface, queues: queues, last: last, &state)
    try splitHeaders(on: interface, rings, &state)
    try limitSpreading(on: interface, queues: queues, queueCount: queueCount, &state)
    if !rules.isEmpty {
      // NETIF_F_NTUPLE
      try switchOn("rx-ntuple-filter", on: interface, &state)
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
  ) throws(DevmemError) -> UInt32 {
    let channels = try state.ethtool.channels(of: interface)
    let current = channels.current.receiveQueueCount
    // One for everybody else, also when the queues named are all the first ones.
    let needed = max(UInt64(last) + 1, UInt64(queues.count) + 1)
    if current >= needed { return current }
    guard let needed = UInt32(exactly: needed) else {
      throw tooFewQueues(on: interface, needed, channels)
    }
    let missing = needed - current
    // What does not fit is more than any maximum.
    let (combined, combinedOverflow) = channels.current.combined.addingReportingOverflow(missing)
    let (receive, receiveOverflow) = channels.current.receive.addingReportingOverflow(missing)
    if !combinedOverflow && combined <= channels.maximum.combined {
      try change(&state, back: .channels(combined: channels.current.combined, receive: nil)) {
        ethtool throws(DevmemError) in
        try ethtool.setChannels(of: interface, combined: combined)
      }
    } else if !receiveOverflow && receive <= channels.maximum.receive {
      try change(&state, back: .channels(combined: nil, receive: channels.current.receive)) {
        ethtool throws(DevmemError) in
        try ethtool.setChannels(of: interface, receive: receive)
      }
    } else {
      throw tooFewQueues(on: interface, UInt64(needed), channels)
    }
    return needed
  }

  private static func tooFewQueues(
    on interface: NetworkInterface, _ needed: UInt64, _ channels: ChannelSettings
  ) -> DevmemError {
    DevmemError(
      .settingUnsupported, "making \(needed) receive queues on \(interface)",
      interface: interface,
      remedy: "It has at most \(channels.maximum.receiveQueueCount): name lower queues.")
  }

  /// Header/data split on, threshold 0.
  private static func splitHeaders(
    on interface: NetworkInterface, _ rings: RingSettings, _ state: inout State
  ) throws(DevmemError) {
    let threshold = rings.headerSplitThreshold ?? 0
    // Also where it reads as on already: a driver may split by itself what the core was not told
    // to, and the core does not bind then. That cannot be seen, and so is not put back.
    let isOn = rings.dataSplit == .enabled
    let old: NICChange? =
      isOn && threshold == 0
      ? nil
      : .headerSplit(
        isOn ? nil : rings.dataSplit ?? .automatic, threshold: threshold == 0 ? nil : threshold)
    let split = { (ethtool: inout EthtoolFamily) throws(DevmemError) in
      try ethtool.setHeaderSplit(
        of: interface, dataSplit: .enabled, threshold: threshold == 0 ? nil : 0)
    }
    do throws(DevmemError) {
      try change(&state, back: old, split)
    } catch {
      // On some cards (mlx5) it is hardware GRO that splits, and comes first.
      guard error.code == .settingRefused, try switchOn("rx-gro-hw", on: interface, &state)
      else { throw error }
      state.doubtful = nil
      try change(&state, back: old, split)
    }
  }

  /// Takes the queues out of receive side scaling.
  private static func limitSpreading(
    on interface: NetworkInterface, queues: [UInt32], queueCount: UInt32, _ state: inout State
  ) throws(DevmemError) {
    let old = try state.ethtool.rss(of: interface).indirection
    guard !old.isEmpty else {
      throw DevmemError(
        .settingUnsupported, "keeping other traffic off queues of \(interface)",
        interface: interface,
        remedy: "It has no table of receive side scaling that could be changed.")
    }
    guard old.contains(where: queues.contains) else { return }
    let others = (0..<queueCount).filter { !queues.contains($0) }
    let isDefault =
      old == RSSSettings.defaultIndirection(size: old.count, queueCount: Int(queueCount))
    try change(&state, back: .indirection(isDefault ? [] : old)) {
      ethtool throws(DevmemError) in
      try ethtool.setRSS(
        of: interface, indirection: old.indices.map { others[$0 % others.count] })
    }
  }

  /// Switches a feature on that is off and can be switched.
  ///
  /// - Returns: whether it did.
  @discardableResult
  private static func switchOn(
    _ feature: String, on interface: NetworkInterface, _ state: inout State
  ) throws(DevmemError) -> Bool {
    let features = try state.ethtool.features(of: interface)
    guard !features.active.contains(feature), features.changeable.contains(feature) else {
      return false
    }
    try change(&state, back: .feature(feature, wasOn: false)) { ethtool throws(DevmemError) in
      try ethtool.setFeature(feature, true, of: interface)
    }
    return true
  }

  /// Changes a setting. It is written down before: when the answer gets lost, the kernel may have
  /// done it all the same, and setting the old value once more does no harm.
  private static func change(
    _ state: inout State, back: NICChange?,
    _ body: (inout EthtoolFamily) throws(DevmemError) -> Void
  ) throws(DevmemError) {
    if let back { state.changes.append(back) }
    do throws(DevmemError) {
      try body(&state.ethtool)
    } catch {
      if back != nil { state.doubtful = error }
      throw error
    }
  }

  private static func invalid(_ interface: NetworkInterface, _ remedy: String) -> DevmemError {
    DevmemError(
      .invalidArgument, "setting \(interface) up for device memory", interface: interface,
      remedy: remedy)
  }
}
