// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

/// A network card's settings as several owners share them, in this process and in others: what each
/// needs is put in when it comes and taken out when it goes, and the last one puts back what was
/// found. docs/decisions/0011-card-settings-have-several-owners.md says why it is done this way.
///
/// Two things say what is needed: the ``NICRecord`` says who is there and what they found; the
/// kernel says which queues have device memory, which also shows who is in no record (a process
/// that is being killed, a program that knows nothing of this, one with another `/run`). No queue
/// of either list gets other traffic.
struct SharedNICSettings: ~Copyable, Sendable {
  let interface: NetworkInterface
  var ethtool: EthtoolFamily
  private var netdev: NetdevFamily
  var file: NICRecordFile
  /// As of the last ``changing(_:)``.
  private(set) var record = NICRecord()

  init(
    _ interface: NetworkInterface, folder: String = NICRecordFile.sharedFolder
  ) throws(DevmemError) {
    let ethtool = try EthtoolFamily()
    let netdev = try NetdevFamily()
    file = try NICRecordFile(
      of: interface, namespace: try ethtool.namespaceCookie(), folder: folder)
    self.ethtool = ethtool
    self.netdev = netdev
    self.interface = interface
  }

  /// Runs the body while nobody else changes the card, with what the others have written down.
  mutating func changing<Result>(
    _ body: (inout SharedNICSettings) throws(DevmemError) -> Result
  ) throws(DevmemError) -> Result {
    try file.lock()
    defer { file.unlock() }
    record = try file.load()
    return try body(&self)
  }

  /// Writes down what is about to be changed, before it is: when the answer gets lost, or this
  /// process is killed, the kernel may have done it all the same.
  mutating func write(_ change: (inout NICRecord) -> Void) throws(DevmemError) {
    var next = record
    change(&next)
    guard next != record else { return }
    try file.save(next)
    record = next
  }

  /// Does nothing where the interface could receive into device memory.
  mutating func requireReceive() throws(DevmemError) {
    try NICCapabilities.requireReceive(on: interface, &netdev, &ethtool)
  }

  /// Receive queues that have memory which ordinary sockets cannot read.
  mutating func boundQueues() throws(DevmemError) -> Set<UInt32> {
    Set(
      try netdev.queues(of: interface).filter {
        $0.kind == .receive && ($0.dmabufID != nil || $0.isOnIOUring)
      }.map(\.id))
  }

  // MARK: - Owners

  /// Takes out what owners have left that are not there any more.
  mutating func removeEnded() throws(DevmemError) {
    for owner in record.owners where try !file.isAlive(owner) { try remove(owner) }
  }

  /// Takes out what an owner needed; the queues come back into receive side scaling with
  /// ``settle()``.
  ///
  /// - Parameter mayBeBound: of an owner that has ended, whose memory may be unbound any moment.
  mutating func remove(_ owner: NICRecord.Owner, mayBeBound: Bool = true) throws(DevmemError) {
    try deleteRules(of: owner)
    if !mayBeBound {
      let others = Set(record.owners.filter { $0.number != owner.number }.flatMap(\.queues))
      let bound = try boundQueues().intersection(owner.queues).subtracting(others)
      if !bound.isEmpty { throw stillBound(bound) }
    }
    try write { $0.owners.removeAll { $0.number == owner.number } }
  }

  private mutating func deleteRules(of owner: NICRecord.Owner) throws(DevmemError) {
    guard !owner.rules.isEmpty else { return }
    let present = try ethtool.rules(of: interface)
    let others = record.owners.filter { $0.number != owner.number }
      .flatMap { $0.rules.compactMap(\.location) }
    for entry in owner.rules {
      let places: [UInt32] =
        if let location = entry.location {
          present.contains { $0.location == location } ? [location] : []
        } else {
          // Whoever inserted it ended before it had the answer: it is what came in meanwhile.
          present.filter { $0.isSame(as: entry.rule) }.compactMap(\.location)
            .filter { !entry.taken.contains($0) && !others.contains($0) }
        }
      for place in places { try ethtool.deleteRule(at: place, of: interface) }
      try write { record in
        guard let index = record.owners.firstIndex(where: { $0.number == owner.number }) else {
          return
        }
        record.owners[index].rules.removeAll { $0 == entry }
      }
    }
  }

  /// Inserts a rule of an owner.
  mutating func insert(_ rule: SteeringRule, owner number: UInt64) throws(DevmemError) {
    let taken = try ethtool.rules(of: interface).compactMap(\.location)
    let entry = NICRecord.Rule(rule: rule, location: nil, taken: taken)
    try write { record in
      guard let index = record.owners.firstIndex(where: { $0.number == number }) else { return }
      record.owners[index].rules.append(entry)
    }
    let location: UInt32
    do throws(DevmemError) {
      location = try ethtool.insertRule(rule, on: interface)
    } catch {
      // A refusal is certain; another error may stand for a rule that is there.
      if error.isRefusal {
        try write { record in
          guard let index = record.owners.firstIndex(where: { $0.number == number }) else { return }
          record.owners[index].rules.removeAll { $0 == entry }
        }
      }
      throw error
    }
    try write { record in
      guard let index = record.owners.firstIndex(where: { $0.number == number }) else { return }
      record.owners[index].rules = record.owners[index].rules.map {
        $0 == entry ? NICRecord.Rule(rule: rule, location: location) : $0
      }
    }
  }

  // MARK: - What is left

  /// Makes the card what those need who are left: while somebody is, other traffic keeps off their
  /// queues alone; when nobody is, everything is put back as it was found.
  ///
  /// - Throws: ``DevmemError/Code/stillBound`` where nobody is left, but memory is bound: the rest
  ///   is put back then. What could not be is still written down.
  mutating func settle() throws(DevmemError) {
    if !record.owners.isEmpty {
      if record.found.spreading != nil { try keepOff(queues: []) }
      return
    }
    guard !record.found.isEmpty else { return try file.save(record) }
    var reason: DevmemError?
    for step in Step.allCases {
      do throws(DevmemError) {
        try undo(step)
      } catch {
        if reason == nil { reason = error }
      }
    }
    if let reason { throw reason }
  }

  /// What is put back, in the reverse order of the changes.
  private enum Step: CaseIterable { case steering, spreading, split, features, channels }

  private mutating func undo(_ step: Step) throws(DevmemError) {
    switch step {
    case .steering:
      try switchOff(record.found.featuresOff.filter { $0 == NICSetup.steeringFeature })
    case .spreading: try spreadAsFound()
    case .split: try splitAsFound()
    case .features: try switchOff(record.found.featuresOff)
    case .channels: try channelsAsFound()
    }
  }

  /// Takes queues out of receive side scaling: these, those of all owners, and all that have device
  /// memory. The others keep their shares.
  ///
  /// - Parameter queues: besides those that are known.
  mutating func keepOff(queues: Set<UInt32>) throws(DevmemError) {
    let excluded = try record.queues.union(queues).union(boundQueues())
    let now = try ethtool.rss(of: interface).indirection
    let queueCount = try receiveQueueCount()
    if record.found.spreading == nil {
      guard now.contains(where: excluded.contains) else { return }
      let isStandard =
        now == RSSSettings.defaultIndirection(size: now.count, queueCount: queueCount)
      try write { $0.found.spreading = isStandard ? .standard : .table(now) }
    }
    try spread(now: now, without: excluded, queueCount: queueCount)
  }

  private mutating func spread(
    now: [UInt32], without excluded: Set<UInt32>, queueCount: Int
  ) throws(DevmemError) {
    guard let spreading = record.found.spreading else { return }
    let found: [UInt32] =
      switch spreading {
      case .standard: RSSSettings.defaultIndirection(size: now.count, queueCount: queueCount)
      case .table(let queues): queues
      }
    let wanted = RSSSettings.indirection(found, without: excluded, queueCount: queueCount)
    guard wanted != now else { return }
    // The default table is more than its entries: it follows the channels.
    try ethtool.setRSS(
      of: interface, indirection: spreading == .standard && wanted == found ? [] : wanted)
  }

  /// Also of a card that does not tell its channels.
  mutating func receiveQueueCount() throws(DevmemError) -> Int {
    let channels = try known { () throws(DevmemError) in try ethtool.channels(of: interface) }
    if let channels { return Int(channels.current.receiveQueueCount) }
    return try ethtool.receiveQueueCount(of: interface)
  }

  private mutating func spreadAsFound() throws(DevmemError) {
    guard let spreading = record.found.spreading else { return }
    let bound = try boundQueues()
    let now = try ethtool.rss(of: interface).indirection
    let queueCount = try receiveQueueCount()
    try spread(now: now, without: bound, queueCount: queueCount)
    let missing =
      switch spreading {
      case .standard: bound
      case .table(let queues): bound.intersection(queues)
      }
    if !missing.isEmpty { throw stillBound(missing) }
    try write { $0.found.spreading = nil }
  }

  private mutating func splitAsFound() throws(DevmemError) {
    let (split, threshold) = (record.found.dataSplit, record.found.threshold)
    guard split != nil || threshold != nil else { return }
    let now = try ethtool.rings(of: interface)
    // What was written down and then not done is as it was.
    let isAsFound =
      (split == nil || now.dataSplit == split)
      && (threshold == nil || now.headerSplitThreshold == threshold)
    if !isAsFound {
      do throws(DevmemError) {
        try ethtool.setHeaderSplit(of: interface, dataSplit: split, threshold: threshold)
      } catch {
        // "off" as the driver told it may be what "auto" comes to, and may not be settable (bnxt).
        guard split == .disabled, error.code == .settingRefused else { throw error }
        try ethtool.setHeaderSplit(of: interface, dataSplit: .automatic, threshold: threshold)
      }
    }
    try write { ($0.found.dataSplit, $0.found.threshold) = (nil, nil) }
  }

  private mutating func switchOff(_ features: [String]) throws(DevmemError) {
    for feature in features.reversed() {
      if try ethtool.features(of: interface).active.contains(feature) {
        try ethtool.setFeature(feature, false, of: interface)
      }
      try write { $0.found.featuresOff.removeAll { $0 == feature } }
    }
  }

  private mutating func channelsAsFound() throws(DevmemError) {
    let (combined, receive) = (record.found.combined, record.found.receive)
    guard combined != nil || receive != nil else { return }
    let now = try ethtool.channels(of: interface).current
    if now.combined != combined ?? now.combined || now.receive != receive ?? now.receive {
      try ethtool.setChannels(of: interface, combined: combined, receive: receive)
    }
    try write { ($0.found.combined, $0.found.receive) = (nil, nil) }
  }

  private func stillBound(_ queues: Set<UInt32>) -> DevmemError {
    let numbers = queues.sorted().map(String.init).joined(separator: ", ")
    let whose = "queue\(queues.count == 1 ? "" : "s") \(numbers) of \(interface)"
    return DevmemError(
      .stillBound, "giving \(whose) back to other traffic",
      interface: interface, underlying: .EBUSY, cause: "device memory is bound there",
      remedy: "Unbind first: end the program that has bound memory (devmemctl netdev list shows"
        + " it).")
  }
}

extension DevmemError {
  /// The kernel has refused, so nothing has changed; what else is thrown may stand for an answer
  /// that got lost.
  var isRefusal: Bool {
    [.settingUnsupported, .settingRefused, .rulesExhausted, .stillBound, .permissionDenied]
      .contains(code)
  }
}

extension RSSSettings {
  /// A table without some queues: the entries of these go to the others in turn, and the rest stays
  /// as it is, so that no other flow changes its queue.
  static func indirection(
    _ table: [UInt32], without queues: Set<UInt32>, queueCount: Int
  ) -> [UInt32] {
    var others = Set(table).subtracting(queues).sorted()
    // Nothing else was used: then all that there is.
    if others.isEmpty { others = (0..<UInt32(queueCount)).filter { !queues.contains($0) } }
    guard !others.isEmpty else { return table }
    var next = 0
    return table.map { queue in
      guard queues.contains(queue) else { return queue }
      defer { next += 1 }
      return others[next % others.count]
    }
  }
}
