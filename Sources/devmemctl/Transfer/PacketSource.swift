// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet

/// What `send` sends: packets of buffers out of a dma-buf of its own, filled with the next bytes.
struct PacketSource: ~Copyable {
  let buffer: DMABuf
  let carving: DMABufCarving
  /// Filled by ``fill(_:)``, and emptied by who sends it.
  var packet: Packet
  private let pool: PagePool
  private let byteLimit: Int
  private var origin: ByteOrigin
  private var hash = SHA256()
  private var crc32: CRC32?
  private var byteCount = 0
  private var waitCount = 0

  init(_ options: SendCommand) throws {
    let origin =
      if let input = options.input {
        try ByteOrigin(path: input, byteLimit: options.bytes?.value)
      } else {
        ByteOrigin(
          BytePattern(period: options.transfer.period), byteCount: options.bytes?.value ?? 0)
      }
    let buffer = try options.transfer.makeBuffer(
      iovByteCount: options.iovSize.value, name: "devmemctl send")
    let carving = try DMABufCarving(
      buffer, iovByteCount: options.iovSize.value, addressing: .bufferOffset)
    pool = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(ringCapacity: carving.iovCount, name: "send"))
    // Only now: what does not succeed leaves nothing half made.
    self.buffer = buffer
    self.carving = carving
    self.origin = origin
    byteLimit = options.packetSize.value
    crc32 = options.takesCRC32 ? CRC32() : nil
    packet = Packet(fragmentCapacity: (options.packetSize.value - 1) / options.iovSize.value + 1)
  }

  /// Fills buffers with the next bytes, until the packet is as large as it may be.
  /// - Parameter waitForBuffer: called where all buffers are with the kernel; returns when one may
  ///   have come back.
  /// - Returns: false at the end.
  mutating func fill(_ waitForBuffer: () throws -> Void) throws -> Bool {
    while packet.payloadByteCount < byteLimit {
      guard var netmem = pool.allocate() else {
        // A packet that is begun can go first.
        if packet.fragmentCount > 0 { break }
        waitCount += 1
        try waitForBuffer()
        continue
      }
      let room = min(netmem.byteCount, byteLimit - packet.payloadByteCount)
      let count = try buffer.withCPUAccess(.readWrite) {
        try netmem.withMutableBytes { bytes in
          try unsafe bytes.withUnsafeMutableBytes { bytes in
            let place = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<room])
            let count = try unsafe origin.read(into: place)
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: place[..<count])
            unsafe hash.update(bytes)
            unsafe crc32?.update(bytes)
            return count
          }
        }
      }
      guard count > 0 else { break }
      packet.append(PayloadFragment(netmem: netmem, offsetInIOV: 0, byteCount: count))
      byteCount += count
    }
    return packet.fragmentCount > 0
  }

  /// Writes what was sent into the report, after the sender has ended.
  consuming func finish(_ report: inout SendReport) {
    packet.removeAll()
    report.byteCount = byteCount
    report.poolWaits = waitCount
    report.heldCount = pool.inFlight.held
    report.crc32 = crc32
    report.sha256 = hash.finalize().hexadecimal
  }
}
