// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import Glibc

/// `send` from beginning to end.
enum SendRun {
  static func run(_ options: SendCommand) throws -> SendReport {
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
    do {
      var sender = try DevmemSender(
        stream: try connect(options), binding: binding, carving: carving)
      var hash = SHA256()
      var packet = Packet(
        fragmentCapacity: (options.packetSize.value - 1) / options.iovSize.value + 1)
      let started = ContinuousClock.now
      while true {
        try Interruption.check()
        try fill(&packet, options, &origin, buffer, pool, &hash, &sender, &report)
        guard packet.fragmentCount > 0 else { break }
        report.byteCount += packet.payloadByteCount
        try sender.sendAll(&packet)
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
            unsafe hash.update(UnsafeRawBufferPointer(rebasing: place[..<count]))
            return count
          }
        }
      }
      guard count > 0 else { return }
      packet.append(PayloadFragment(netmem: netmem, offset: 0, byteCount: count))
    }
  }

  /// Connects; as long as nobody listens there, again, for the time that was given.
  private static func connect(_ options: SendCommand) throws -> OwnedFileDescriptor {
    let remote = TCPEndpoint(address: options.address, port: options.transfer.port)
    let local = options.from.map { TCPEndpoint(address: $0, port: 0) }
    let end = ContinuousClock.now + .seconds(options.connectTimeout)
    while true {
      do throws(Errno) {
        return try TCPSocket.connect(
          to: remote, from: local, interface: options.transfer.interface
        ).descriptor.duplicate()
      } catch {
        let isPassing = error == .ECONNREFUSED || error == .EHOSTUNREACH || error == .ENETUNREACH
        guard isPassing, ContinuousClock.now < end else {
          throw CommandError("connecting to \(remote): \(error)")
        }
      }
      try Interruption.check()
      usleep(100_000)
    }
  }
}
