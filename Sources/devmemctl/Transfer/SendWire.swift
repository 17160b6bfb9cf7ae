// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemNet
import DevmemURing

/// How the bytes of `send` go.
enum SendWire: String, CaseIterable, ExpressibleByArgument {
  /// Device memory TCP.
  case devmem
  /// Ordinary sends, which copy.
  case tcp
  /// io_uring, without copies out of registered memory.
  case uring
}

/// What a wire has to say beside what all of them do.
protocol SendWireReport {
  /// Where the bytes came from: "dma-buf 7 on eth0".
  var place: String { get }
  /// What is wrong about so many bytes that were sent; empty when all is as it should be.
  func problems(_ byteCount: Int) -> [String]
  var fields: [(String, JSONValue)] { get }
  /// Lines for people, after the one that says how much was sent.
  var rows: [(String, String)] { get }
}

/// Device memory TCP: calls, and what the kernel says of each.
struct DevmemSendReport: SendWireReport {
  var interface: String
  var bindingID: UInt32
  var statistics = DevmemSender.Statistics()
  var callsInFlight = 0

  var place: String { "dma-buf \(bindingID) on \(interface)" }

  func problems(_ byteCount: Int) -> [String] {
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
    return problems
  }

  var fields: [(String, JSONValue)] {
    [
      ("interface", .string(interface)), ("dmabufID", .integer(Int(bindingID))),
      ("deviceByteCount", .integer(statistics.deviceByteCount)),
      ("copiedByteCount", .integer(statistics.copiedByteCount)),
      ("packetCount", .integer(statistics.packets)), ("callCount", .integer(statistics.calls)),
      ("partialCallCount", .integer(statistics.partialCalls)),
      ("completedCallCount", .integer(statistics.completedCalls)),
      ("completionMessageCount", .integer(statistics.completionMessages)),
      ("copiedCallCount", .integer(statistics.copiedCalls)),
      ("unexpectedCompletionCount", .integer(statistics.unexpectedCompletions)),
      ("refusalCount", .integer(statistics.refusals)),
    ]
  }

  var rows: [(String, String)] {
    [
      (
        "calls",
        "\(statistics.calls) for \(statistics.packets) packets, \(statistics.partialCalls) partial"
      ),
      (
        "completions",
        "\(statistics.completedCalls) calls in \(statistics.completionMessages) messages, "
          + "\(statistics.copiedCalls) copied, \(statistics.refusals) waited for"
      ),
    ]
  }
}

/// Ordinary sends.
struct PlainSendReport: SendWireReport {
  var interface: String?
  var place: String
  var packetCount = 0

  func problems(_ byteCount: Int) -> [String] { [] }

  var fields: [(String, JSONValue)] {
    [
      ("interface", interface.map { .string($0) } ?? .null),
      ("packetCount", .integer(packetCount)),
    ]
  }

  var rows: [(String, String)] { [("packets", "\(packetCount)")] }
}

/// Sends by io_uring: those without a copy, and what the kernel says of each.
struct URingSendReport: SendWireReport {
  var interface: String?
  var place: String
  var statistics = ZeroCopySender.Statistics()
  var packetsInFlight = 0

  func problems(_ byteCount: Int) -> [String] {
    var problems: [String] = []
    let given = statistics.zeroCopyByteCount + statistics.plainByteCount
    if given != byteCount { problems.append("\(given) of \(byteCount) bytes were sent") }
    if packetsInFlight != 0 { problems.append("\(packetsInFlight) packets are not completed") }
    return problems
  }

  var fields: [(String, JSONValue)] {
    [
      ("interface", interface.map { .string($0) } ?? .null),
      ("zeroCopyByteCount", .integer(statistics.zeroCopyByteCount)),
      ("plainByteCount", .integer(statistics.plainByteCount)),
      ("packetCount", .integer(statistics.packets)), ("callCount", .integer(statistics.calls)),
      ("completedCallCount", .integer(statistics.completedCalls)),
      ("copiedCallCount", .integer(statistics.copiedCalls)),
      ("refusalCount", .integer(statistics.refusals)),
    ]
  }

  var rows: [(String, String)] {
    [
      (
        "bytes",
        "\(statistics.zeroCopyByteCount) without a copy, \(statistics.plainByteCount) ordinarily"
      ),
      (
        "calls",
        "\(statistics.calls) without a copy for \(statistics.packets) packets,"
          + " \(statistics.completedCalls) completed, \(statistics.copiedCalls) copied after all"
      ),
    ]
  }
}
