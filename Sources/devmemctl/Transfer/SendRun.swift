// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import Glibc

/// `send` from beginning to end.
enum SendRun {
  static func run(_ options: SendCommand) throws -> SendReport {
    try CommandError.requireDescriptors()
    switch options.wire {
    case .devmem: return try runDevmem(options)
    case .tcp: return try runPlain(options)
    case .uring: return try runURing(options)
    }
  }

  private static func runDevmem(_ options: SendCommand) throws -> SendReport {
    let interface = try NetworkInterface(named: options.transfer.requireInterface())
    // Before memory is made for it: what is missing, and what would provide it.
    try NICCapabilities.requireTransmit(on: interface)
    var source = try PacketSource(options)
    let binding = try NetdevBinding.transmit(source.buffer, interface: interface)
    var details = DevmemSendReport(interface: interface.name, bindingID: binding.id)
    var report = SendReport(.devmem, details)
    do {
      var sender = try DevmemSender(
        stream: try nonblocking(connect(options, interface)), binding: binding,
        carving: source.carving)
      let started = ContinuousClock.now
      while true {
        try Interruption.check()
        let isFilled = try source.fill {
          let calls = sender.callsInFlight
          while try !sender.awaitCompletions(leaving: max(calls - 1, 0), milliseconds: 200) {
            try Interruption.check()
          }
        }
        guard isFilled else { break }
        try sendAll(&source.packet, &sender)
      }
      try sender.finish()
      while try !sender.awaitCompletions(milliseconds: 200) { try Interruption.check() }
      report.duration = ContinuousClock.now - started
      details.statistics = sender.statistics
      details.callsInFlight = sender.callsInFlight
      report.details = details
    }
    source.finish(&report)
    return report
  }

  /// By ordinary sends, which copy.
  private static func runPlain(_ options: SendCommand) throws -> SendReport {
    let interface = try options.transfer.interface.map { name throws(DevmemError) in
      try NetworkInterface(named: name)
    }
    var source = try PacketSource(options)
    var details = PlainSendReport(
      interface: interface?.name, place: "buffers of \(source.buffer.exporter)")
    var report = SendReport(.tcp, details)
    do {
      var sender = HeaderSplitSender(socket: try connect(options, interface))
      let started = ContinuousClock.now
      // No packet is left when the next one is filled: there is always a buffer.
      while try source.fill({}) {
        try Interruption.check()
        try source.buffer.withCPUAccess(.read) { try sender.send(source.packet) }
        source.packet.removeAll()
        details.packetCount += 1
      }
      report.duration = ContinuousClock.now - started
      report.details = details
    }
    source.finish(&report)
    return report
  }

  /// Sends a packet completely; a signal ends the wait for room.
  private static func sendAll(_ packet: inout Packet, _ sender: inout DevmemSender) throws {
    while true {
      switch try sender.send(&packet) {
      case .sent: return
      case .tooMuchInFlight:
        let half = sender.callsInFlight / 2
        while try !sender.awaitCompletions(leaving: half, milliseconds: 200) {
          try Interruption.check()
        }
      case .pending, .wouldBlock:
        repeat {
          try Interruption.wait(
            for: sender.descriptorNumber, Int16(POLLOUT), milliseconds: 200)
          try sender.reapCompletions()
        } while try sender.resume() == .pending
        if packet.fragmentCount == 0 { return }
      }
    }
  }

  /// Connects; as long as nobody listens there, again, for the time that was given. A signal ends
  /// it.
  static func connect(
    _ options: SendCommand, _ interface: NetworkInterface?
  ) throws(CommandError) -> OwnedFileDescriptor {
    try connect(options, interface) { () throws(CommandError) in
      try endpoints(of: options.address, port: options.transfer.port, "looking up")
    }
  }

  /// Looks up anew for each attempt.
  static func connect(
    _ options: SendCommand, _ interface: NetworkInterface?,
    lookUp: () throws(CommandError) -> [TCPEndpoint]
  ) throws(CommandError) -> OwnedFileDescriptor {
    let end = ContinuousClock.now + .seconds(options.connectTimeout)
    while true {
      var failures: [(TCPEndpoint, Errno)] = []
      for remote in try lookUp() {
        do throws(Errno) {
          if let descriptor = try attempt(remote, options, interface) { return descriptor }
        } catch {
          failures.append((remote, error))
        }
        try Interruption.check()
      }
      // One is enough: of a name's addresses some may be of a family that is switched off here.
      let isPassing = failures.contains {
        [.ECONNREFUSED, .EHOSTUNREACH, .ENETUNREACH, .ETIMEDOUT].contains($0.1)
      }
      guard isPassing, ContinuousClock.now < end else {
        guard let (remote, errno) = failures.last else { continue }
        let all = failures.dropLast().map { "; \($0.0): \($0.1)" }.joined()
        throw CommandError(
          "connecting to \(remote)\(options.from.map { " from \($0)" } ?? "")"
            + "\(interface.map { " by \($0)" } ?? "")\(all)", errno,
          remedy: remedy(errno, options))
      }
      try Interruption.wait(for: -1, 0, milliseconds: 100)
    }
  }

  private static func remedy(_ errno: Errno, _ options: SendCommand) -> String? {
    switch errno {
    case .ECONNREFUSED: "Nobody listens there yet: --connect-timeout 30 tries again for a while."
    case .ENETUNREACH, .EHOSTUNREACH, .ETIMEDOUT:
      "See how it is reached: ip route get \(options.address)"
        + (options.transfer.interface.map { " oif \($0)" } ?? "")
    case .EINVAL:
      "Both addresses have to be of one family, and numeric ones of an interface of theirs."
    default: nil
    }
  }

  private static func nonblocking(
    _ descriptor: consuming OwnedFileDescriptor
  ) throws(CommandError) -> OwnedFileDescriptor {
    try CommandError.wrapping("preparing the connection") { () throws(Errno) in
      try descriptor.setBlocking(false)
    }
    return descriptor
  }

  /// One attempt; nil when a signal ended it.
  private static func attempt(
    _ remote: TCPEndpoint, _ options: SendCommand, _ interface: NetworkInterface?
  ) throws(Errno) -> OwnedFileDescriptor? {
    let socket = try OwnedFileDescriptor.beginConnecting(
      to: remote, from: options.from.map { TCPEndpoint(address: $0, port: 0) },
      interface: interface?.name)
    do {
      try Interruption.wait(for: socket.rawValue, Int16(POLLOUT))
    } catch {
      return nil
    }
    try socket.finishConnecting()
    return socket
  }

  /// The endpoints that an address or a name stands for.
  static func endpoints(
    of host: String, port: UInt16, _ verb: String
  ) throws(CommandError) -> [TCPEndpoint] {
    do throws(Errno) {
      return try TCPEndpoint.resolve(host, port: port)
    } catch {
      let remedy: String? =
        switch error {
        case .ENXIO: "Nobody knows that name: getent ahosts \(host); or give a numeric address."
        case .EAGAIN: "The resolver does not answer: /etc/resolv.conf; or give a numeric address."
        default: nil
        }
      throw CommandError("\(verb) \(host)", error, remedy: remedy)
    }
  }
}
