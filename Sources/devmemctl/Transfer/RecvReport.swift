// SPDX-License-Identifier: Apache-2.0

/// What `recv` has found out.
struct RecvReport {
  let wire: RecvWire
  /// What this wire has to say.
  var details: any RecvWireReport
  var byteCount = 0
  var fragmentCount = 0
  /// Buffers out of our memory that a page pool misses, the kernel's or ours: when receiving began;
  /// at the end, when those are left that are kept for the next packets; and after unbinding, when
  /// all have to be back.
  var poolInFlightBefore: UInt64 = 0
  var poolInFlightAtEnd: UInt64 = 0
  var poolInFlightAfter: UInt64 = 0
  var duration: Duration = .zero
  var sha256 = ""
  /// Nil where nothing was compared.
  var firstWrongOffset: Int?
  var isValidated = false
  /// Fragments whose bytes were not as before when their time of being held was up.
  var changedWhileHeld = 0
  /// What a device has read, where the processor has not.
  var vulkan: VulkanDigest.Report?

  init(_ wire: RecvWire, _ details: any RecvWireReport) {
    self.wire = wire
    self.details = details
  }

  var throughput: Double {
    duration.seconds > 0 ? Double(byteCount) / duration.seconds : 0
  }

  /// What is wrong; empty when all is as it should be.
  var problems: [String] {
    var problems: [String] = []
    if let firstWrongOffset {
      problems.append("validation failed: byte \(firstWrongOffset) is not what the pattern says")
    }
    problems += details.problems
    if changedWhileHeld != 0 {
      problems.append("\(changedWhileHeld) fragments changed while they were held")
    }
    if poolInFlightAfter > 0 {
      let pools = wire == .devmem ? "the kernel's page pools miss" : "the page pool misses"
      problems.append("\(pools) \(poolInFlightAfter) buffers after unbinding")
    }
    return problems + (vulkan?.problems ?? [])
  }

  var json: JSONValue {
    .object(
      [("wire", .string(wire.rawValue)), ("byteCount", .integer(byteCount))] + details.fields + [
        ("fragmentCount", .integer(fragmentCount)),
        ("changedWhileHeld", .integer(changedWhileHeld)),
        ("poolInFlightBefore", .integer(Int(clamping: poolInFlightBefore))),
        ("poolInFlightAtEnd", .integer(Int(clamping: poolInFlightAtEnd))),
        ("poolInFlightAfter", .integer(Int(clamping: poolInFlightAfter))),
        ("validated", isValidated ? .boolean(firstWrongOffset == nil) : .null),
        ("sha256", vulkan == nil ? .string(sha256) : .null), ("vulkan", vulkan?.json ?? .null),
        ("seconds", .number(duration.seconds)),
        ("throughputBytesPerSecond", .integer(Int(throughput))),
      ])
  }

  private var patternText: String {
    guard isValidated else { return "not compared" }
    return firstWrongOffset == nil ? "as it should be" : "WRONG"
  }

  var table: String {
    transferTable(
      [
        ("received", "\(ByteCount(byteCount)) into \(details.place)"),
        ("fragments", "\(fragmentCount)"),
      ] + details.rows + [
        (
          wire == .devmem ? "kernel pool" : "pool",
          """
          in flight \(poolInFlightBefore) before, \(poolInFlightAtEnd) at the end, \
          \(poolInFlightAfter) after unbinding
          """
        ),
        ("pattern", patternText),
        ("sha256", vulkan == nil ? sha256 : "the processor has read nothing"),
        ("throughput", "\(Int(throughput / 1e6)) MB/s"),
      ] + (vulkan?.rows ?? []))
  }
}
