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

  /// - Returns: what the card lacks that can be done without.
  static func apply(
    _ request: Request, _ card: inout SharedNICSettings
  ) throws(DevmemError) -> [String] {
    var warnings: [String] = []
    if let obstacle = card.file.obstacle {
      warnings.append(
        "Other programs do not see what is set here, because \(NICRecordFile.sharedFolder) cannot"
          + " be used (\(obstacle)): let only this one set \(card.interface) up.")
    }
    try card.removeEnded()
    let owner = NICRecord.Owner(
      number: request.number, isKept: request.isKept, queues: request.queues)
    try card.write { $0.owners.append(owner) }
    try raiseChannels(&card)
    try splitHeaders(&card)
    if let warning = try keepOff(request.queues, &card) { warnings.append(warning) }
    if let warning = try steer(request, &card) { warnings.append(warning) }
    return warnings
  }

  /// Sees to it that the queues of all owners are there, and one besides.
  private static func raiseChannels(_ card: inout SharedNICSettings) throws(DevmemError) {
    let current = UInt32(clamping: try card.receiveQueueCount())
    let queues = card.record.queues
    // One for everybody else, also when the queues named are all the first ones.
    let needed = max(UInt64(queues.max() ?? 0) + 1, UInt64(queues.count) + 1)
    if current >= needed { return }
    let channels = try card.ethtool.channels(of: card.interface)
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

  /// Takes the queues out of receive side scaling. A card without a table is safe only if it cannot
  /// spread: then all that no rule steers goes to its first queue. One that can compute hashes, and
  /// whose table nobody can set (gve of older kernels), may spread over all of its queues, whether
  /// it tells the hashes or not, and connections that it puts on a bound one would be reset.
  ///
  /// - Returns: a warning where there is no table, and none is needed.
  private static func keepOff(
    _ queues: [UInt32], _ card: inout SharedNICSettings
  ) throws(DevmemError) -> String? {
    if try hasTable(&card) {
      try card.keepOff(queues: Set(queues))
      return nil
    }
    let features = try card.ethtool.features(of: card.interface)
    let spreads = features.active.union(features.changeable).contains(hashingFeature)
    guard !spreads, !queues.contains(0) else {
      throw DevmemError(
        .settingUnsupported, "keeping other traffic off queues of \(card.interface)",
        interface: card.interface,
        remedy: spreads
          ? "It can spread packets by hashes (rx-hashing), but has no table of receive side scaling"
            + " that could be changed: use a driver that has one (ethtool -x \(card.interface)), or"
            + " another card."
          : "It has no table of receive side scaling, so all other traffic goes to queue 0: choose"
            + " another one.")
    }
    return "\(card.interface) has no table of receive side scaling and cannot spread packets:"
      + " other traffic is expected on queue 0."
  }

  /// NETIF_F_RXHASH
  private static let hashingFeature = "rx-hashing"

  private static func hasTable(_ card: inout SharedNICSettings) throws(DevmemError) -> Bool {
    let rss = try known { () throws(DevmemError) in try card.ethtool.rss(of: card.interface) }
    return rss.map { !$0.indirection.isEmpty } ?? false
  }

  /// Inserts the rules. What the card cannot do harms nobody: such flows come by other queues, and
  /// their bytes outside of the bound memory, unless something else brings them to the queues.
  ///
  /// - Returns: a warning with the rules that the card does not take.
  private static func steer(
    _ request: Request, _ card: inout SharedNICSettings
  ) throws(DevmemError) -> String? {
    guard !request.rules.isEmpty else { return nil }
    try switchOn(steeringFeature, &card)
    var missing: [String] = []
    for rule in request.rules {
      do throws(DevmemError) {
        try card.insert(rule, owner: request.number)
      } catch {
        guard error.code == .settingUnsupported else { throw error }
        missing.append(rule.text)
      }
    }
    return missing.isEmpty
      ? nil
      : "\(card.interface) takes no such rules: \(missing.joined(separator: "; ")). Flows reach the"
        + " queues only if something else brings them there; else their bytes come outside of the"
        + " bound memory."
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
