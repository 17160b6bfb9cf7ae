// SPDX-License-Identifier: Apache-2.0

import DevmemNet

/// What `recv` has found out.
struct RecvReport {
  var interface: String
  var queues: [UInt32]
  var bindingID: UInt32
  var byteCount = 0
  var fragmentCount = 0
  var statistics = DevmemReceiver.Statistics()
  var tokensOwed = 0
  /// Buffers out of our memory in the kernel's page pools: when it was bound; at the end, when
  /// those are left that the pools keep for the next packets; and after unbinding, when all have to
  /// be back.
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
  var failsOnLinear = false
  /// What a device has read, where the processor has not.
  var vulkan: VulkanDigest.Report?

  /// Bytes that did not come in device memory.
  var linearByteCount: Int { statistics.linearByteCount + statistics.unboundByteCount }

  var throughput: Double {
    duration.seconds > 0 ? Double(byteCount) / duration.seconds : 0
  }

  /// What is wrong; empty when all is as it should be.
  var problems: [String] {
    var problems: [String] = []
    if let firstWrongOffset {
      problems.append("validation failed: byte \(firstWrongOffset) is not what the pattern says")
    }
    if tokensOwed != 0 { problems.append("\(tokensOwed) fragments did not go back to the kernel") }
    if statistics.tokensUnknown != 0 {
      problems.append("the kernel did not know \(statistics.tokensUnknown) of the tokens")
    }
    if changedWhileHeld != 0 {
      problems.append("\(changedWhileHeld) fragments changed while they were held")
    }
    if failsOnLinear && linearByteCount != 0 {
      problems.append("\(linearByteCount) bytes came outside of the dma-buf")
    }
    if poolInFlightAfter > 0 {
      problems.append("the kernel's page pools miss \(poolInFlightAfter) buffers after unbinding")
    }
    return problems + (vulkan?.problems ?? [])
  }

  var json: JSONValue {
    .object([
      ("interface", .string(interface)),
      ("queues", .array(queues.map { .integer(Int($0)) })),
      ("dmabufID", .integer(Int(bindingID))), ("byteCount", .integer(byteCount)),
      ("deviceByteCount", .integer(statistics.deviceByteCount)),
      ("linearByteCount", .integer(statistics.linearByteCount)),
      ("unboundByteCount", .integer(statistics.unboundByteCount)),
      ("packetCount", .integer(statistics.packets)),
      ("fragmentCount", .integer(fragmentCount)),
      ("deviceFragmentCount", .integer(statistics.deviceFragments)),
      ("tokensReturned", .integer(statistics.tokensReturned)),
      ("tokensOwed", .integer(tokensOwed)),
      ("tokensUnknown", .integer(statistics.tokensUnknown)),
      ("tokenCalls", .integer(statistics.tokenCalls)), ("stalls", .integer(statistics.stalls)),
      ("waits", .integer(statistics.waits)),
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

  private var queueText: String { queues.map(String.init).joined(separator: ",") }

  private var patternText: String {
    guard isValidated else { return "not compared" }
    return firstWrongOffset == nil ? "as it should be" : "WRONG"
  }

  var table: String {
    transferTable(rows + (vulkan?.rows ?? []))
  }

  private var rows: [(String, String)] {
    [
      (
        "received",
        "\(ByteCount(byteCount)) into dma-buf \(bindingID) on \(interface), queues \(queueText)"
      ),
      (
        "payload",
        """
        \(statistics.deviceByteCount) bytes in device memory, \(statistics.linearByteCount) \
        linear, \(statistics.unboundByteCount) not by a bound queue
        """
      ),
      ("fragments", "\(fragmentCount) in \(statistics.packets) packets"),
      (
        "tokens",
        "\(statistics.tokensReturned) returned in \(statistics.tokenCalls) calls, \(tokensOwed) "
          + "owed"
      ),
      ("stalls", "\(statistics.stalls) (waits: \(statistics.waits))"),
      (
        "kernel pool",
        """
        in flight \(poolInFlightBefore) before, \(poolInFlightAtEnd) at the end, \
        \(poolInFlightAfter) after unbinding
        """
      ),
      (
        "pattern", patternText
      ),
      ("sha256", vulkan == nil ? sha256 : "the processor has read nothing"),
      ("throughput", "\(Int(throughput / 1e6)) MB/s"),
    ]
  }
}
