// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemURing
import Glibc

// `send` over an io_uring.
extension SendRun {
  static func runURing(_ options: SendCommand) throws -> SendReport {
    // Before memory is made for it.
    _ = try URing(submissionCount: 1, completionCount: 2)
    let interface = try options.transfer.interface.map { name throws(DevmemError) in
      try NetworkInterface(named: name)
    }
    return try sendByURing(
      options, try PacketSource(options), interface, connect(options, interface))
  }

  static func sendByURing(
    _ options: SendCommand, _ source: consuming PacketSource, _ interface: NetworkInterface?,
    _ stream: consuming OwnedFileDescriptor
  ) throws -> SendReport {
    var details = URingSendReport(
      interface: interface?.name, place: "registered buffers of \(source.buffer.exporter)")
    var report = SendReport(.uring, details)
    do {
      var sender = try ZeroCopySender(
        stream: stream, memory: source.buffer,
        configuration: ZeroCopySender.Configuration(
          fragmentLimit: source.packet.fragmentCapacity))
      let started = ContinuousClock.now
      while true {
        try Interruption.check()
        let isFilled = try source.fill {
          let count = max(sender.packetsInFlight - 1, 0)
          while try !sender.awaitCompletions(leaving: count, milliseconds: 200) {
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
      details.packetsInFlight = sender.packetsInFlight
      report.details = details
    }
    source.finish(&report)
    return report
  }

  /// Sends a packet completely; a signal ends the wait for room.
  private static func sendAll(_ packet: inout Packet, _ sender: inout ZeroCopySender) throws {
    while true {
      switch try sender.send(&packet) {
      case .sent: return
      case .tooMuchInFlight:
        let half = sender.packetsInFlight / 2
        while try !sender.awaitCompletions(leaving: half, milliseconds: 200) {
          try Interruption.check()
        }
      case .pending, .wouldBlock:
        while try sender.resume() == .pending {
          try Interruption.wait(for: sender.descriptorNumber, Int16(POLLIN))
        }
        if packet.fragmentCount == 0 { return }
      }
    }
  }
}
