// SPDX-License-Identifier: Apache-2.0

import DevmemNet

/// What `send` has found out.
struct SendReport {
  var interface: String
  var bindingID: UInt32
  var byteCount = 0
  var statistics = DevmemSender.Statistics()
  /// Buffers that are not back in their pool.
  var heldCount = 0
  var callsInFlight = 0
  /// Times that no buffer was free, and completions were waited for.
  var poolWaits = 0
  var duration: Duration = .zero
  var sha256 = ""
  /// Nil where it was not asked for.
  var crc32: CRC32?

  var throughput: Double {
    duration.seconds > 0 ? Double(byteCount) / duration.seconds : 0
  }

  /// What is wrong; empty when all is as it should be.
  var problems: [String] {
    var problems: [String] = []
    if statistics.deviceByteCount != byteCount {
      problems.append(
        "\(statistics.deviceByteCount) of \(byteCount) bytes went out of device memory")
    }
    if statistics.copiedCalls != 0 {
      problems.append("the kernel copied in \(statistics.copiedCalls) calls")
    }
    if callsInFlight != 0 { problems.append("\(callsInFlight) calls are not completed") }
    if statistics.unexpectedCompletions != 0 {
      problems.append("\(statistics.unexpectedCompletions) completions of calls that nobody made")
    }
    if heldCount != 0 { problems.append("\(heldCount) buffers did not come back") }
    return problems
  }

  var json: JSONValue {
    .object([
      ("interface", .string(interface)), ("dmabufID", .integer(Int(bindingID))),
      ("byteCount", .integer(byteCount)),
      ("deviceByteCount", .integer(statistics.deviceByteCount)),
      ("copiedByteCount", .integer(statistics.copiedByteCount)),
      ("packetCount", .integer(statistics.packets)), ("callCount", .integer(statistics.calls)),
      ("partialCallCount", .integer(statistics.partialCalls)),
      ("completedCallCount", .integer(statistics.completedCalls)),
      ("completionMessageCount", .integer(statistics.completionMessages)),
      ("copiedCallCount", .integer(statistics.copiedCalls)),
      ("unexpectedCompletionCount", .integer(statistics.unexpectedCompletions)),
      ("refusalCount", .integer(statistics.refusals)), ("poolWaitCount", .integer(poolWaits)),
      ("inFlightAtEnd", .integer(heldCount)), ("sha256", .string(sha256)),
      ("crc32", crc32.map { .string($0.hexadecimal) } ?? .null),
      ("seconds", .number(duration.seconds)),
      ("throughputBytesPerSecond", .integer(Int(throughput))),
    ])
  }

  var table: String {
    var rows = [
      ("sent", "\(ByteCount(byteCount)) out of dma-buf \(bindingID) on \(interface)"),
      (
        "calls",
        "\(statistics.calls) for \(statistics.packets) packets, \(statistics.partialCalls) partial"
      ),
      (
        "completions",
        "\(statistics.completedCalls) calls in \(statistics.completionMessages) messages, "
          + "\(statistics.copiedCalls) copied"
      ),
      (
        "waits", "\(poolWaits) for a buffer, \(statistics.refusals) for completions"
      ),
      ("in flight", "\(heldCount)"), ("sha256", sha256),
      ("throughput", "\(Int(throughput / 1e6)) MB/s"),
    ]
    if let crc32 { rows.append(("crc32", crc32.hexadecimal)) }
    return transferTable(rows)
  }
}
