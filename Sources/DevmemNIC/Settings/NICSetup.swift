// SPDX-License-Identifier: Apache-2.0

public import Devmem
public import DevmemSystem
internal import Synchronization

/// Sets a network card up for receiving into device memory, and puts everything back.
///
/// What a receiver needs: enough channels; header/data split on, with a threshold of 0; the queues
/// that will be bound out of receive side scaling, because memory that nobody can read must not get
/// anybody else's packets; and rules that steer the receiver's flows to those queues. Only what is
/// not so already is changed, and only what was changed is put back:
///
/// ```swift
/// import Devmem
/// import DevmemNIC
///
/// func bind(
///   _ buffer: DMABuf, to card: NetworkInterface,
///   receive: (NetdevBinding) throws -> Void
/// ) throws {
///   let rule = SteeringRule(.tcp4, destination: .init(port: 5201), queue: 7)
///   let setup = try NICSetup(card, queues: [7], rules: [rule])
///   defer { try? setup.restore() }  // after an error as well
///   let binding = try NetdevBinding.receive(
///     buffer, interface: card, queues: [7])
///   defer { binding.close() }  // first: bound memory pins the settings
///   try receive(binding)
/// }
/// ```
///
/// A card has any number of these, in one process or several, and they end in any order: each takes
/// its queues and rules out again, and the last one puts back what the first one found. They find
/// each other in `/run/swift-devmem`; containers that share a network namespace have to share that
/// folder, too. Where it cannot be made, those of this process know of each other alone.
///
/// Bound memory pins the settings: end the binding before. If `init` fails half-way, it undoes what
/// it has done until then. The end of the object restores as well, but has nobody to tell an error
/// to; an object in a global variable of a main.swift never ends, so keep it in a function. What a
/// process leaves that is killed (also by Ctrl-C's signal), the next one that sets the card up or
/// restores it takes out; ``restoreAbandoned(on:)`` and `devmemctl netdev restore` do that alone.
/// `devmemctl` itself has a second process, which outlives it, for that.
///
/// Needs CAP_NET_ADMIN. All members may be called from any thread; whoever restores, it is done in
/// the network namespace in which the object was made.
public final class NICSetup: Sendable {
  /// The network card.
  package let interface: NetworkInterface
  /// The receive queues that it was set up for.
  package let queues: [UInt32]
  /// What the card does not have and a receiver can do without, one sentence each: it takes no
  /// rules, or none of one family; it has no table of receive side scaling, and needs none, because
  /// it spreads nothing. Also that programs outside of this process do not see these settings.
  public let warnings: [String]

  private let state: Mutex<State>

  private struct State: ~Copyable, Sendable {
    var card: SharedNICSettings
    /// This one's among the owners.
    let number: UInt64
    /// Whether nothing is left to be put back.
    var isRestored = false
  }

  /// For how long to wait for the memory of a process that is being killed.
  private static let unbindingAttempts = 40

  /// Sets an interface up.
  ///
  /// - Parameters:
  ///   - interface: the network card.
  ///   - queues: the receive queues that will be bound: at least one, and not all of them.
  ///   - rules: what to steer to them; may be empty where the card needs none.
  /// - Throws: ``/Devmem/DevmemError``: `.receiveUnsupported` (see ``NICCapabilities``),
  ///   `.settingUnsupported` (other traffic cannot be kept off the queues, or there are too few),
  ///   `.settingRefused`, `.rulesExhausted`, `.permissionDenied`, `.interfaceMissing`,
  ///   `.invalidArgument`. What had been changed until then is put back; if that fails, the error
  ///   is `.notRestored`.
  public convenience init(
    _ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule] = []
  ) throws(DevmemError) {
    try self.init(interface, queues: queues, rules: rules, isKept: false)
  }

  private init(
    _ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule], isKept: Bool
  ) throws(DevmemError) {
    self.interface = interface
    self.queues = queues
    try Self.check(queues, rules, interface)
    var card = try SharedNICSettings(interface)
    try card.requireReceive()
    if isKept, let obstacle = card.file.obstacle {
      throw DevmemError(
        .settingRefused, "keeping \(interface) set up for device memory", interface: interface,
        underlying: obstacle,
        remedy: "What was found could not be written down for whoever puts it back: let this"
          + " program write to \(NICRecordFile.sharedFolder).")
    }
    let request = Request(
      number: try card.file.newNumber(claims: !isKept), isKept: isKept, queues: queues,
      rules: rules)
    do throws(DevmemError) {
      warnings = try card.changing { card throws(DevmemError) in
        try Self.apply(request, &card)
      }
    } catch {
      if let rest = Self.leave(request.number, &card) {
        throw Self.notRestored(interface, after: error, because: rest)
      }
      throw error
    }
    state = Mutex(State(card: card, number: request.number, isRestored: isKept))
  }

  deinit {
    try? restore()
  }

  /// Puts back what was changed and nobody else needs. A second call does what the first one could
  /// not, or nothing.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.notRestored` if something could not be put back; the
  ///   rest is. Most often memory is still bound.
  public func restore() throws(DevmemError) {
    let error = state.withLock { state -> DevmemError? in
      guard !state.isRestored else { return nil }
      guard let reason = Self.leave(state.number, &state.card) else {
        state.isRestored = true
        return nil
      }
      return Self.notRestored(interface, after: nil, because: reason)
    }
    if let error { throw error }
  }

  /// Takes out what owners have left that were killed, as the next one that sets the card up would;
  /// puts the card back as it was found if nobody else has it. Does nothing where nobody has left
  /// anything.
  ///
  /// - Throws: as ``restore()``.
  public static func restoreAbandoned(on interface: NetworkInterface) throws(DevmemError) {
    var card = try SharedNICSettings(interface)
    if let reason = leave(nil, &card) {
      throw notRestored(interface, after: nil, because: reason)
    }
  }

  /// Sets an interface up without an object, or a process, that stands for it: until
  /// ``restoreKept(on:)``, or the next boot.
  ///
  /// - Returns: ``warnings``.
  /// - Throws: as ``init(_:queues:rules:)``; ``DevmemError/Code/settingRefused`` where it could not
  ///   be written down for whoever restores.
  package static func keep(
    _ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule]
  ) throws(DevmemError) -> [String] {
    try NICSetup(interface, queues: queues, rules: rules, isKept: true).warnings
  }

  /// Takes out what ``keep(_:queues:rules:)`` has put in, and what owners have left that were
  /// killed.
  ///
  /// - Returns: how many owners are left.
  /// - Throws: as ``restore()``.
  package static func restoreKept(on interface: NetworkInterface) throws(DevmemError) -> Int {
    var card = try SharedNICSettings(interface)
    for owner in try card.file.load().owners where owner.isKept {
      if let reason = leave(owner.number, &card) {
        throw notRestored(interface, after: nil, because: reason)
      }
    }
    try restoreAbandoned(on: interface)
    return try card.file.load().owners.count
  }

  /// The last receive queues of an interface that nobody has, as many as asked for: a good choice,
  /// because what is common uses the first ones.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.settingUnsupported` if there are not as many, or no queue
  ///   would be left for other traffic.
  public static func lastQueues(
    _ count: Int, of interface: NetworkInterface
  ) throws(DevmemError) -> [UInt32] {
    var card = try SharedNICSettings(interface)
    let total = UInt32(clamping: try card.receiveQueueCount())
    let others = try card.file.load().queues.union(card.boundQueues())
    let free = (0..<total).filter { !others.contains($0) }
    guard count >= 1, free.count > count else {
      let inUse = others.isEmpty ? "" : ", \(others.count) of which are in use"
      throw DevmemError(
        .settingUnsupported, "choosing \(count) receive queues of \(interface)",
        interface: interface,
        remedy: "It has \(total)\(inUse), and one has to be left for other traffic;"
          + " more, if the card has them: "
          + SystemProcess.asRoot(
            "ethtool -L \(interface) combined \(others.count + max(count, 1) + 1)"))
    }
    return Array(free.suffix(count))
  }

  /// Takes an owner's part out, and that of those who have ended.
  ///
  /// - Returns: the first reason why something could not be undone.
  private static func leave(
    _ number: UInt64?, _ card: inout SharedNICSettings
  ) -> DevmemError? {
    var attempts = 0
    while true {
      do throws(DevmemError) {
        try card.changing { card throws(DevmemError) in
          try card.removeEnded()
          if let owner = card.record.owners.first(where: { $0.number == number }) {
            try card.remove(owner, mayBeBound: false)
          }
          try card.settle()
        }
        return nil
      } catch {
        // Nobody has the card, and memory is bound: somebody is just being killed, most likely.
        attempts += 1
        guard error.code == .stillBound, card.record.owners.isEmpty,
          attempts < unbindingAttempts
        else { return error }
        SystemProcess.pause(milliseconds: 50)
      }
    }
  }

  private static func notRestored(
    _ interface: NetworkInterface, after: DevmemError?, because reason: DevmemError
  ) -> DevmemError {
    let before = after.map { " (after: \($0.operation): \($0.code.rawValue))" } ?? ""
    let what =
      reason.code == .stillBound
      ? "Unbind first (devmemctl netdev list \(interface) shows what is bound), then restore again"
      : "Restore again"
    return DevmemError(
      .notRestored, "putting the settings of \(interface) back\(before): \(reason.operation)",
      interface: interface, underlying: reason.underlying, cause: reason.cause,
      remedy: "\(what): NICSetup.restore(); from another program:"
        + " NICSetup.restoreAbandoned(on:), or "
        + SystemProcess.asRoot("devmemctl netdev restore \(interface)"))
  }
}
