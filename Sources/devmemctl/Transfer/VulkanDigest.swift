// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemVulkan
import Synchronization

/// What a Vulkan device makes of a stream: its CRC-32, by a shader over the fragments where the
/// card put them. Each fragment goes back once the device is done with it.
struct VulkanDigest: ~Copyable {
  /// What was found.
  struct Report {
    var device = ""
    var exporter = ""
    var isExported = false
    var crc32 = ""
    var jobCount = 0
    /// Fragments that the device has read, and those of them that went back after its fences.
    var fragmentCount = 0
    var endedCount = 0
    /// Bytes that came outside of the memory, which the processor has read.
    var hostByteCount = 0

    var problems: [String] {
      endedCount == fragmentCount
        ? []
        : ["\(fragmentCount - endedCount) fragments did not go back after the device's fences"]
    }

    var json: JSONValue {
      .object([
        ("device", .string(device)), ("exporter", .string(exporter)),
        ("isExported", .boolean(isExported)), ("crc32", .string(crc32)),
        ("jobCount", .integer(jobCount)), ("fragmentCount", .integer(fragmentCount)),
        ("returnedAfterFence", .integer(endedCount)), ("hostByteCount", .integer(hostByteCount)),
      ])
    }

    var rows: [(String, String)] {
      [
        ("device", device), ("memory", "\(exporter), isExported \(isExported)"),
        ("jobs", "\(jobCount) over \(fragmentCount) fragments"),
        ("after fence", "\(endedCount) fragments returned"), ("crc32", crc32),
      ]
    }
  }

  /// Holds a fragment until its fence.
  private final class Kept: Sendable {
    private let fragment: PayloadFragment
    private let ended: Ended
    init(_ fragment: consuming PayloadFragment, _ ended: Ended) {
      self.fragment = fragment
      self.ended = ended
    }
    deinit { ended.count.add(1, ordering: .relaxed) }
  }
  private final class Ended: Sendable {
    let count = Atomic<Int>(0)
  }

  /// A part of the stream: of the device's next result, or with one already.
  private struct Part {
    let byteCount: Int
    let crc32: UInt32?
  }

  private let memory: VulkanMemory
  private let shader: VulkanShader
  private let watch: FenceWatch
  private let ended = Ended()
  private var crc32 = CRC32()
  private var report = Report()
  // Of the next job.
  private var fragments: [VulkanFragment] = []
  private var kept: [Kept] = []
  private var parts: [Part] = []
  private var jobs: [(job: VulkanJob?, parts: [Part])] = []

  /// Fragments of one job, and jobs under way.
  private static let fragmentLimit = 512
  private static let jobLimit = 4

  /// - Parameter memory: where the card puts the bytes.
  init(_ memory: VulkanMemory) throws {
    let shader = try VulkanShader(.crc32, on: memory.device)
    let watch = try FenceWatch()
    self.memory = memory
    self.shader = shader
    self.watch = watch
    report.device = memory.device.description.name
    report.exporter = memory.buffer.exporter.description
    report.isExported = memory.buffer.isExported
  }

  /// Takes the stream's next bytes.
  mutating func append(_ fragment: consuming PayloadFragment) throws {
    let byteCount = fragment.byteCount
    guard fragment.placement != .linear else {
      var crc32 = CRC32()
      try fragment.withBytes { bytes in
        unsafe bytes.withUnsafeBytes { bytes in unsafe crc32.update(bytes) }
      }
      parts.append(Part(byteCount: byteCount, crc32: crc32.value))
      report.hostByteCount += byteCount
      return
    }
    report.fragmentCount += 1
    fragments.append(VulkanFragment(offset: Int(fragment.offset), byteCount: byteCount))
    parts.append(Part(byteCount: byteCount, crc32: nil))
    kept.append(Kept(fragment, ended))
    if fragments.count == Self.fragmentLimit { try begin() }
  }

  /// Gives the device what has come so far: the card may want the memory back.
  mutating func begin() throws {
    guard !parts.isEmpty else { return }
    var job: VulkanJob?
    if !fragments.isEmpty {
      let begun = try VulkanJob(shader, over: fragments, of: memory)
      let returner = try FenceReturner(after: begun.fence, on: watch)
      for fragment in kept { returner.keep(fragment) }
      report.jobCount += 1
      job = begun
    }
    jobs.append((job, parts))
    fragments.removeAll(keepingCapacity: true)
    kept.removeAll(keepingCapacity: true)
    parts.removeAll(keepingCapacity: true)
    if jobs.count > Self.jobLimit { try endFirst() }
  }

  /// Waits until the device has read all that came.
  mutating func finish() throws {
    try begin()
    while !jobs.isEmpty { try endFirst() }
    // The fences have signalled; that the watch's thread has heard of it takes a moment.
    for _ in 0..<1000 where ended.count.load(ordering: .relaxed) < report.fragmentCount {
      SystemProcess.pause(milliseconds: 5)
    }
  }

  private mutating func endFirst() throws {
    let (job, parts) = jobs.removeFirst()
    var results = try job?.results()[...] ?? []
    for part in parts {
      guard let value = part.crc32 ?? results.popFirst() else {
        fatalError("a shader has a result for each fragment")
      }
      crc32.append(crc32: value, byteCount: part.byteCount)
    }
  }

  /// What was found, after ``finish()``.
  var found: Report {
    var report = report
    report.crc32 = crc32.hexadecimal
    report.endedCount = ended.count.load(ordering: .relaxed)
    return report
  }
}
