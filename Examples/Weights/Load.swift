// SPDX-License-Identifier: Apache-2.0
import Devmem
import DevmemNet
import DevmemVulkan
import Foundation

private let port: UInt16 = 5201

/// Receives a file of one connection by device memory TCP; what there is to say of it.
func load(by name: String) throws -> String {
  let card = try NetworkInterface(named: name)
  let queues = try NICSetup.lastQueues(1, of: card)
  let rule = SteeringRule(.tcp4, destination: .init(port: port), queue: queues[0])
  let setup = try NICSetup(card, queues: queues, rules: [rule])
  defer { try? setup.restore() }
  let device = try Vulkan().device()
  let arrivals = try VulkanMemory(allocating: 4 << 20, on: device)
  let binding = try NetdevBinding.receive(arrivals.buffer, interface: card, queues: queues)
  defer { binding.close() }
  let listener = try TCPSocket.listen(on: TCPEndpoint(address: "0.0.0.0", port: port))
  var receiver = try DevmemReceiver(
    stream: listener.accept().takeDescriptor(), binding: binding,
    linear: PagePool(provider: HostMemoryProvider()))
  var assembly = try Assembly(from: arrivals)
  var packet = receiver.makePacket()
  receiving: while true {
    switch try receiver.receive(into: &packet) {
    case .packet: try assembly.take(&packet)
    // Until the device has copied what came: the card is to have it back.
    case .exhausted: try arrivals.buffer.waitUntilReady(for: .write)
    case .wouldBlock: _ = try receiver.wait(milliseconds: -1)
    case .endOfStream: break receiving
    }
  }
  let weights = try assembly.finish()
  // The fences have signalled. Whom they wake up may take a moment.
  for _ in 0..<1000 where receiver.tokensOwed > 0 {
    Thread.sleep(forTimeInterval: 0.005)
    try receiver.flush()
  }
  guard receiver.tokensOwed == 0 else { throw Failure(description: "fragments did not go back") }
  let count = receiver.statistics.deviceFragments
  return "\(weights); \(count) fragments came by \(card) and went back after their fences"
}

/// Puts a file together in the device's memory.
struct Assembly: ~Copyable {
  /// Keeps a fragment.
  private final class Owner: Sendable {
    private let fragment: PayloadFragment
    init(_ fragment: consuming PayloadFragment) { self.fragment = fragment }
  }

  private let arrivals: VulkanMemory
  private let gather: VulkanShader
  private let watch: FenceWatch
  /// What came of the length and the header; after that the tensors.
  private var head: [UInt8] = []
  private var file: Safetensors?
  private var weights: VulkanMemory?
  private var byteCount = 0

  init(from arrivals: VulkanMemory) throws {
    let gather = try VulkanShader(.gather, on: arrivals.device)
    let watch = try FenceWatch()
    self.arrivals = arrivals
    self.gather = gather
    self.watch = watch
  }

  private static func memory(_ byteCount: Int, on device: VulkanDevice) throws -> VulkanMemory {
    try VulkanMemory(allocating: (byteCount + 65535) & ~65535, on: device)
  }

  /// Has the device copy a packet's fragments to where they belong. They go back to the card when
  /// it has.
  mutating func take(_ packet: inout Packet) throws {
    var pieces: [VulkanFragment] = []
    var owners: [Owner] = []
    while let fragment = packet.popFirstFragment() {
      guard fragment.placement == .device else {
        throw Failure(description: "\(fragment.byteCount) bytes came outside of the device")
      }
      let skipped = weights == nil ? try readHeader(fragment) : 0
      if skipped < fragment.byteCount {
        let count = fragment.byteCount - skipped
        pieces.append(
          VulkanFragment(
            offset: Int(fragment.offset) + skipped, byteCount: count, destination: byteCount))
        byteCount += count
      }
      owners.append(Owner(fragment))
    }
    guard let file, let weights, !pieces.isEmpty else { return }
    guard byteCount <= file.byteCount else { throw Failure(description: "more than the tensors") }
    let job = try VulkanJob(gather, over: pieces, of: arrivals, into: weights)
    let returner = try FenceReturner(after: job.fence, on: watch)
    for owner in owners { returner.keep(owner) }
    returner.keep(job)
  }

  /// Reads as much of a fragment as belongs to the header; how much that was.
  private mutating func readHeader(_ fragment: borrowing PayloadFragment) throws -> Int {
    var bytes: [UInt8] = []
    try arrivals.buffer.withCPUAccess(.read) {
      try fragment.withBytes { span in
        for offset in span.byteOffsets { bytes.append(span.integer(at: offset, as: UInt8.self)) }
      }
    }
    let before = head.count
    head += bytes
    guard let count = try Safetensors.headerByteCount(head) else { return bytes.count }
    let end = Safetensors.lengthByteCount + count
    guard head.count >= end else { return bytes.count }
    let header = try Safetensors(header: Array(head[Safetensors.lengthByteCount..<end]))
    weights = try Self.memory(header.byteCount, on: arrivals.device)
    file = header
    head = []
    return end - before
  }

  /// Widens the tensors, and compares the checksums, of what came and of what became of it.
  consuming func finish() throws -> String {
    guard let file, let weights, byteCount == file.byteCount else {
      throw Failure(description: "the file ended after \(byteCount) bytes of its tensors")
    }
    let device = arrivals.device
    let numbers = try Self.memory(2 * byteCount, on: device)
    let narrow = file.tensors.map {
      VulkanFragment(
        offset: $0.range.lowerBound, byteCount: $0.range.count,
        destination: 2 * $0.range.lowerBound)
    }
    let wide = narrow.map { VulkanFragment(offset: $0.destination, byteCount: 2 * $0.byteCount) }
    let widen = try VulkanJob(
      VulkanShader(.widen, on: device), over: narrow, of: weights, into: numbers)
    let crc32 = try VulkanShader(.crc32, on: device)
    let came = try VulkanJob(crc32, over: narrow, of: weights).results()
    let became = try VulkanJob(crc32, over: wide, of: numbers).results()
    let counts = try widen.results()
    for (index, tensor) in file.tensors.enumerated() {
      guard came[index] == tensor.crc32, became[index] == tensor.widenedCRC32,
        Int(counts[index]) == tensor.range.count / 2
      else { throw Failure(description: "\(tensor.name): not as it is in the file") }
    }
    return "\(file.tensors.count) tensors, \(byteCount) bytes of bf16 and as f32 in"
      + " \(device.description.name), every checksum the file's"
  }
}
