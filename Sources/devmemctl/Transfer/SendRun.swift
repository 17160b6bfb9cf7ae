// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import Glibc

/// `send` from beginning to end.
enum SendRun {
  static func run(_ options: SendCommand) throws -> SendReport {
    try CommandError.requireDescriptors()
    let interface = try NetworkInterface(named: options.transfer.interface)
    // Before memory is made for it: what is missing, and what would provide it.
    try NICCapabilities.requireTransmit(on: interface)
    var origin =
      if let input = options.input {
        try ByteOrigin(path: input, byteLimit: options.bytes?.value)
      } else {
        ByteOrigin(
          BytePattern(period: options.transfer.period), byteCount: options.bytes?.value ?? 0)
      }
    let buffer = try options.transfer.makeBuffer(
      iovByteCount: options.iovSize.value, name: "devmemctl send")
    let binding = try NetdevBinding.transmit(buffer, interface: interface)
    let carving = try DMABufCarving(
      buffer, iovByteCount: options.iovSize.value, addressing: .bufferOffset)
    let pool = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(ringCapacity: carving.iovCount, name: "send"))
    var report = SendReport(interface: interface.name, bindingID: binding.id)
    if options.takesCRC32 { report.crc32 = CRC32() }
    do {
      var sender = try DevmemSender(
        stream: try nonblocking(connect(options, interface)), binding: binding, carving: carving)
      var hash = SHA256()
      var packet = Packet(
        fragmentCapacity: (options.packetSize.value - 1) / options.iovSize.value + 1)
      let started = ContinuousClock.now
      while true {
        try Interruption.check()
        try fill(&packet, options, &origin, buffer, pool, &hash, &sender, &report)
        guard packet.fragmentCount > 0 else { break }
        report.byteCount += packet.payloadByteCount
        try sendAll(&packet, &sender)
      }
      try sender.finish()
      while try !sender.awaitCompletions(milliseconds: 200) { try Interruption.check() }
      report.duration = ContinuousClock.now - started
      report.statistics = sender.statistics
      report.callsInFlight = sender.callsInFlight
      report.sha256 = hash.finalize().hexadecimal
    }
    report.heldCount = pool.inFlight.held
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

  /// Fills buffers with the next bytes, until the packet is as large as it may be.
  private static func fill(
    _ packet: inout Packet, _ options: SendCommand, _ origin: inout ByteOrigin, _ buffer: DMABuf,
    _ pool: PagePool, _ hash: inout SHA256, _ sender: inout DevmemSender, _ report: inout SendReport
  ) throws {
    while packet.payloadByteCount < options.packetSize.value {
      guard var netmem = pool.allocate() else {
        // Everything is with the kernel. A packet that is begun can go first.
        if packet.fragmentCount > 0 { return }
        report.poolWaits += 1
        let calls = sender.callsInFlight
        while try !sender.awaitCompletions(leaving: max(calls - 1, 0), milliseconds: 200) {
          try Interruption.check()
        }
        continue
      }
      let room = min(netmem.byteCount, options.packetSize.value - packet.payloadByteCount)
      let count = try buffer.withCPUAccess(.readWrite) {
        try netmem.withMutableBytes { bytes in
          try unsafe bytes.withUnsafeMutableBytes { bytes in
            let place = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<room])
            let count = try unsafe origin.read(into: place)
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: place[..<count])
            unsafe hash.update(bytes)
            unsafe report.crc32?.update(bytes)
            return count
          }
        }
      }
      guard count > 0 else { return }
      packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: count))
    }
  }

  /// Connects; as long as nobody listens there, again, for the time that was given. A signal ends
  /// it.
  private static func connect(
    _ options: SendCommand, _ interface: NetworkInterface
  ) throws(CommandError) -> OwnedFileDescriptor {
    try connect(options, interface) { () throws(CommandError) in
      try endpoints(of: options.address, port: options.transfer.port, "looking up")
    }
  }

  /// Looks up anew for each attempt.
  static func connect(
    _ options: SendCommand, _ interface: NetworkInterface,
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
          "connecting to \(remote)\(options.from.map { " from \($0)" } ?? "") by"
            + " \(options.transfer.interface)\(all)", errno, remedy: remedy(errno, options))
      }
      try Interruption.wait(for: -1, 0, milliseconds: 100)
    }
  }

  private static func remedy(_ errno: Errno, _ options: SendCommand) -> String? {
    switch errno {
    case .ECONNREFUSED: "Nobody listens there yet: --connect-timeout 30 tries again for a while."
    case .ENETUNREACH, .EHOSTUNREACH, .ETIMEDOUT:
      "See how it is reached: ip route get \(options.address) oif \(options.transfer.interface)"
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
    _ remote: TCPEndpoint, _ options: SendCommand, _ interface: NetworkInterface
  ) throws(Errno) -> OwnedFileDescriptor? {
    let socket = try OwnedFileDescriptor.beginConnecting(
      to: remote, from: options.from.map { TCPEndpoint(address: $0, port: 0) },
      interface: interface.name)
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
