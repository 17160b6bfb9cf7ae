// SPDX-License-Identifier: Apache-2.0

public import Devmem
public import DevmemSystem
internal import Synchronization

/// Sets a network card up for receiving into device memory, and puts everything back.
///
/// What a receiver needs: enough channels; header/data split on, with a threshold of 0; the queues
/// that will be bound out of receive side scaling, because memory that nobody can read must not get
/// anybody else's packets; and rules that steer the receiver's flows to those queues. Only what is
/// not so already is changed, and only what was changed is put back, in the reverse order:
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
///   // What to type if a signal ends the program.
///   print(setup.restoreCommands.joined(separator: "\n"))
///   let binding = try NetdevBinding.receive(
///     buffer, interface: card, queues: [7])
///   defer { binding.close() }  // first: bound memory pins the settings
///   try receive(binding)
/// }
/// ```
///
/// Bound memory pins the split: end the binding before. If `init` fails half-way, it undoes what it
/// has done until then. The end of the object restores as well, but has nobody to tell an error to;
/// an object in a global variable of a main.swift never ends, so keep it in a function. A process
/// that a signal ends (also Ctrl-C's) restores nothing: ``restoreCommands`` is what to type then.
/// `devmemctl` has a second process that outlives it and restores.
///
/// Needs CAP_NET_ADMIN. All members may be called from any thread; whoever restores, it is done in
/// the network namespace in which the object was made.
public final class NICSetup: Sendable {
  /// The network card.
  public let interface: NetworkInterface
  /// The receive queues that it was set up for.
  public let queues: [UInt32]

  private let state: Mutex<State>

  struct State: ~Copyable, Sendable {
    var ethtool: EthtoolFamily
    /// In the order in which they were made.
    var changes: [NICChange] = []
    /// Why the last change may not have been made.
    var doubtful: DevmemError?
  }

  /// Sets an interface up.
  ///
  /// - Parameters:
  ///   - interface: the network card.
  ///   - queues: the receive queues that will be bound: at least one, and not all of them.
  ///   - rules: what to steer to them; may be empty where the card needs none.
  /// - Throws: ``/Devmem/DevmemError``: `.receiveUnsupported` (see ``NICCapabilities``),
  ///   `.settingUnsupported` (the card cannot steer, or has too few queues), `.settingRefused`,
  ///   `.rulesExhausted`, `.permissionDenied`, `.interfaceMissing`, `.invalidArgument`. What had
  ///   been changed until then is put back; if that fails, the error is `.notRestored`, with the
  ///   commands that put it back as its remedy.
  public init(
    _ interface: NetworkInterface, queues: [UInt32], rules: [SteeringRule] = []
  ) throws(DevmemError) {
    self.interface = interface
    self.queues = queues
    var state = State(ethtool: try EthtoolFamily())
    do throws(DevmemError) {
      try Self.apply(to: interface, queues: queues, rules: rules, &state)
    } catch {
      let rest = Self.undo(on: interface, &state)
      if let rest { throw Self.notRestored(interface, state.changes, after: error, because: rest) }
      throw error
    }
    self.state = Mutex(state)
  }

  deinit {
    try? restore()
  }

  /// Puts back what was changed. A second call does what the first one could not, or nothing.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.notRestored` if something could not be put back; the
  ///   rest is. Its remedy has the commands. Most often the cause is memory that is still bound.
  public func restore() throws(DevmemError) {
    let error = state.withLock { state -> DevmemError? in
      guard let reason = Self.undo(on: interface, &state) else { return nil }
      return Self.notRestored(interface, state.changes, after: nil, because: reason)
    }
    if let error { throw error }
  }

  /// What a shell would need to put back what is still changed, first things first. A table of
  /// receive side scaling comes back with the same weights, not with the same order.
  public var restoreCommands: [String] {
    let changes = state.withLock { $0.changes }
    return Self.commands(interface, changes)
  }

  /// The last receive queues of an interface, as many as asked for: a good choice, because what is
  /// common uses the first ones.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.settingUnsupported` if no queue would be left for other
  ///   traffic.
  public static func lastQueues(
    _ count: Int, of interface: NetworkInterface
  ) throws(DevmemError) -> [UInt32] {
    var ethtool = try EthtoolFamily()
    let channels = try ethtool.channels(of: interface).current
    guard count >= 1, Int(channels.receiveQueueCount) > count else {
      throw DevmemError(
        .settingUnsupported, "choosing \(count) receive queues of \(interface)",
        interface: interface,
        remedy: "It has \(channels.receiveQueueCount), and one has to be left for other traffic;"
          + " more, if the card has them: sudo ethtool -L \(interface) combined \(count + 1)")
    }
    return (0..<UInt32(count)).map { channels.receiveQueueCount - UInt32(count) + $0 }
  }

  /// Undoes changes, the last one first; those that cannot be undone stay in the list.
  ///
  /// - Returns: the first reason why something could not be undone.
  static func undo(on interface: NetworkInterface, _ state: inout State) -> DevmemError? {
    var reason: DevmemError?
    var remaining: [NICChange] = []
    while let change = state.changes.popLast() {
      do throws(DevmemError) {
        try change.undo(on: interface, &state.ethtool)
      } catch {
        // What could not be made cannot be undone for the same reason, and needs not to be.
        if let doubtful = state.doubtful, doubtful.code == error.code,
          doubtful.underlying == error.underlying
        {
          state.doubtful = nil
          continue
        }
        if reason == nil { reason = error }
        remaining.append(change)
      }
      state.doubtful = nil
    }
    state.changes = remaining.reversed()
    return reason
  }

  private static func commands(_ interface: NetworkInterface, _ changes: [NICChange]) -> [String] {
    changes.reversed().map { $0.command(on: interface) }
  }

  private static func notRestored(
    _ interface: NetworkInterface, _ changes: [NICChange], after: DevmemError?,
    because reason: DevmemError
  ) -> DevmemError {
    let commands = commands(interface, changes).joined(separator: "; ")
    let before = after.map { " (after: \($0.operation): \($0.code.rawValue))" } ?? ""
    return DevmemError(
      .notRestored, "putting the settings of \(interface) back\(before): \(reason.operation)",
      interface: interface, underlying: reason.underlying, cause: reason.cause,
      remedy: (reason.code == .stillBound
        ? "Unbind first, then restore again; or by hand: " : "By hand: ")
        + commands)
  }
}
