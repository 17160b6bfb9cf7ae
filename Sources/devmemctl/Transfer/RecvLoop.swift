// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemVulkan
import Glibc

/// Takes packets, looks at their bytes, and holds fragments for a while.
struct RecvLoop: ~Copyable {
  private let buffer: DMABuf
  private let byteLimit: Int?
  private let pattern: BytePattern?
  private var hash = SHA256()
  private var held: HeldFragments
  /// A device that reads the bytes instead of the processor.
  private var digest: VulkanDigest?
  private var byteCount = 0
  private var fragmentCount = 0
  private var firstWrongOffset: Int?
  private var started: ContinuousClock.Instant?
  private var ended: ContinuousClock.Instant?

  init(_ options: RecvCommand, _ buffer: DMABuf, _ target: VulkanMemory? = nil) throws {
    self.buffer = buffer
    byteLimit = options.bytes?.value
    pattern = options.comparesPattern ? BytePattern(period: options.transfer.period) : nil
    held = HeldFragments(limit: options.hold)
    if let target { digest = try VulkanDigest(target) } else { digest = nil }
  }

  /// Until the stream ends, or there are as many bytes as were wanted. Every fragment has ended
  /// then.
  mutating func run(
    _ receiver: inout some PacketReceiver & ~Copyable, _ sink: borrowing ByteSink
  ) throws {
    var packet = receiver.makePacket()
    var progress = ProgressBar(total: byteLimit ?? 0, isShown: byteLimit != nil)
    defer { progress.finish() }
    loop: while byteLimit.map({ byteCount < $0 }) ?? true {
      try Interruption.check()
      switch try receiver.receive(into: &packet) {
      case .packet:
        if started == nil { started = .now }
        if digest != nil {
          try takeForDevice(&packet)
        } else {
          try buffer.withCPUAccess(.read) { try take(&packet, sink) }
        }
        progress.update(byteCount)
      case .wouldBlock:
        try digest?.begin()
        try Interruption.wait(for: receiver.descriptorNumber, Int16(POLLIN))
      case .exhausted:
        // More is held than the card can do without.
        try digest?.finish()
        try buffer.withCPUAccess(.read) { held.releaseFirst() }
      case .endOfStream: break loop
      }
    }
    try digest?.finish()
    ended = .now
    try buffer.withCPUAccess(.read) { held.releaseAll() }
    packet.removeAll()
  }

  private mutating func takeForDevice(_ packet: inout Packet) throws {
    while let fragment = packet.popFirstFragment() {
      fragmentCount += 1
      byteCount += fragment.byteCount
      try digest?.append(fragment)
    }
  }

  private mutating func take(_ packet: inout Packet, _ sink: borrowing ByteSink) throws {
    while let fragment = packet.popFirstFragment() {
      fragmentCount += 1
      let offset = byteCount
      try fragment.withBytes { bytes in
        try unsafe bytes.withUnsafeBytes { bytes in
          unsafe hash.update(bytes)
          if let pattern, firstWrongOffset == nil,
            let difference = unsafe pattern.firstDifference(in: bytes, at: offset)
          {
            firstWrongOffset = offset + difference
          }
          try unsafe sink.write(bytes)
        }
      }
      byteCount += fragment.byteCount
      held.append(fragment)
    }
  }

  /// Writes what was found into the report.
  consuming func finish(_ report: inout RecvReport) {
    report.byteCount = byteCount
    report.fragmentCount = fragmentCount
    report.isValidated = pattern != nil
    report.firstWrongOffset = firstWrongOffset
    report.changedWhileHeld = held.changedCount
    if let started, let ended { report.duration = ended - started }
    switch digest {
    case .some(let digest): report.vulkan = digest.found
    case .none: report.sha256 = hash.finalize().hexadecimal
    }
  }
}
