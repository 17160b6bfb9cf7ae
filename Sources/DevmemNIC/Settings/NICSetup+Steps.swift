// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

// What a new owner needs, in the order of the steps. Each is written down before it is done.
extension NICSetup {
  /// NETIF_F_NTUPLE
  static let steeringFeature = "rx-ntuple-filter"

  /// What a new owner asks for.
  struct Request {
    let number: UInt64
    let isKept: Bool
    let queues: [UInt32]
    let rules: [SteeringRule]
  }

  static func check(
    _ queues: [UInt32], _ rules: [SteeringRule], _ interface: NetworkInterface
  ) throws(DevmemError) {
    guard !queues.isEmpty, Set(queues).count == queues.count else {
      throw invalid(interface, "Name at least one queue, and each once.")
    }
    for rule in rules where rule.context == 0 && !queues.contains(where: { $0 == rule.queue }) {
      throw invalid(
        interface, "A rule steers to queue \(rule.queue), which is not among the queues.")
    }
  }

  static func apply(
    _ request: Request, _ card: inout SharedNICSettings
  ) throws(DevmemError) {
    try card.removeEnded()
    let owner = NICRecord.Owner(
      number: request.number, isKept: request.isKept, queues: request.queues)
    try card.write { $0.owners.append(owner) }
    try raiseChannels(&card)
    try splitHeaders(&card)
    try keepOff(request.queues, &card)
    if !request.rules.isEmpty {
      try switchOn(steeringFeature, &card)
      for rule in request.rules { try card.insert(rule, owner: request.number) }
    }
  }

  /// Sees to it that the queues of all owners are there, and one besides.
  private static func raiseChannels(_ card: inout SharedNICSettings) throws(DevmemError) {
    let channels = try card.ethtool.channels(of: card.interface)
    let current = channels.current.receiveQueueCount
    let queues = card.record.queues
    // One for everybody else, also when the queues named are all the first ones.
    let needed = max(UInt64(queues.max() ?? 0) + 1, UInt64(queues.count) + 1)
    if current >= needed { return }
    guard let needed = UInt32(exactly: needed) else {
      throw tooFewQueues(card.interface, needed, channels)
    }
    let missing = needed - current
    // What does not fit is more than any maximum.
    let (combined, combinedOverflow) = channels.current.combined.addingReportingOverflow(missing)
    let (receive, receiveOverflow) = channels.current.receive.addingReportingOverflow(missing)
    if !combinedOverflow && combined <= channels.maximum.combined {
      try card.write {
        if $0.found.combined == nil { $0.found.combined = channels.current.combined }
      }
      try card.ethtool.setChannels(of: card.interface, combined: combined)
    } else if !receiveOverflow && receive <= channels.maximum.receive {
      try card.write {
        if $0.found.receive == nil { $0.found.receive = channels.current.receive }
      }
      try card.ethtool.setChannels(of: card.interface, receive: receive)
    } else {
      throw tooFewQueues(card.interface, UInt64(needed), channels)
    }
  }

  private static func tooFewQueues(
    _ interface: NetworkInterface, _ needed: UInt64, _ channels: ChannelSettings
  ) -> DevmemError {
    DevmemError(
      .settingUnsupported, "making \(needed) receive queues on \(interface)",
      interface: interface,
      remedy: "It has at most \(channels.maximum.receiveQueueCount): name lower queues.")
  }

  /// Header/data split on, threshold 0.
  private static func splitHeaders(_ card: inout SharedNICSettings) throws(DevmemError) {
    let interface = card.interface
    let rings = try card.ethtool.rings(of: interface)
    let threshold = rings.headerSplitThreshold ?? 0
    let isOn = rings.dataSplit == .enabled
    // Another owner has seen to it.
    if isOn && threshold == 0 && card.record.owners.count > 1 { return }
    // Also where it reads as on already: a driver may split by itself what the core was not told
    // to, and the core does not bind then. That cannot be seen, and so is not put back.
    let before = card.record.found
    try card.write {
      if !isOn && $0.found.dataSplit == nil { $0.found.dataSplit = rings.dataSplit ?? .automatic }
      if threshold != 0 && $0.found.threshold == nil { $0.found.threshold = threshold }
    }
    let split = { (card: inout SharedNICSettings) throws(DevmemError) in
      try card.ethtool.setHeaderSplit(
        of: interface, dataSplit: .enabled, threshold: threshold == 0 ? nil : 0)
    }
    do throws(DevmemError) {
      try split(&card)
    } catch {
      // On some cards (mlx5) it is hardware GRO that splits, and comes first.
      do throws(DevmemError) {
        guard error.code == .settingRefused, try switchOn("rx-gro-hw", &card) else { throw error }
        try split(&card)
      } catch {
        if error.isRefusal {
          try card.write {
            ($0.found.dataSplit, $0.found.threshold) = (before.dataSplit, before.threshold)
          }
        }
        throw error
      }
    }
  }

  /// Takes the queues out of receive side scaling.
  private static func keepOff(
    _ queues: [UInt32], _ card: inout SharedNICSettings
  ) throws(DevmemError) {
    guard try !card.ethtool.rss(of: card.interface).indirection.isEmpty else {
      throw DevmemError(
        .settingUnsupported, "keeping other traffic off queues of \(card.interface)",
        interface: card.interface,
        remedy: "It has no table of receive side scaling that could be changed.")
    }
    try card.keepOff(queues: Set(queues))
  }

  /// Switches a feature on that is off and can be switched.
  ///
  /// - Returns: whether it did.
  @discardableResult
  private static func switchOn(
    _ feature: String, _ card: inout SharedNICSettings
  ) throws(DevmemError) -> Bool {
    let features = try card.ethtool.features(of: card.interface)
    guard !features.active.contains(feature), features.changeable.contains(feature) else {
      return false
    }
    try card.write {
      if !$0.found.featuresOff.contains(feature) { $0.found.featuresOff.append(feature) }
    }
    try card.ethtool.setFeature(feature, true, of: card.interface)
    return true
  }

  private static func invalid(_ interface: NetworkInterface, _ remedy: String) -> DevmemError {
    DevmemError(
      .invalidArgument, "setting \(interface) up for device memory", interface: interface,
      remedy: remedy)
  }
}
