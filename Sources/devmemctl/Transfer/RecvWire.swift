// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemNet
import DevmemURing

/// How the bytes of `recv` come.
enum RecvWire: String, CaseIterable, ExpressibleByArgument {
  /// Device memory TCP.
  case devmem
  /// Ordinary receives into buffers of a page pool: the kernel copies.
  case tcp
  /// io_uring, into buffers of a page pool that were lent to the kernel.
  case uring
  /// io_uring's zero-copy receive.
  case zcrx
}

/// What a wire has to say beside what all of them do.
protocol RecvWireReport {
  /// Where the bytes went: "dma-buf 7 on eth0, queues 3".
  var place: String { get }
  /// What is wrong; empty when all is as it should be.
  var problems: [String] { get }
  var fields: [(String, JSONValue)] { get }
  /// Lines for people, after the one that says how much was received.
  var rows: [(String, String)] { get }
}

/// Device memory TCP: the card's queues, and the tokens that the kernel wants back.
struct DevmemWireReport: RecvWireReport {
  var interface: String
  var queues: [UInt32]
  var bindingID: UInt32
  var failsOnLinear: Bool
  var statistics = DevmemReceiver.Statistics()
  var tokensOwed = 0

  var place: String {
    "dma-buf \(bindingID) on \(interface), queues \(queues.map(String.init).joined(separator: ","))"
  }

  /// Bytes that did not come in device memory.
  private var linearByteCount: Int { statistics.linearByteCount + statistics.unboundByteCount }

  var problems: [String] {
    var problems: [String] = []
    if tokensOwed != 0 { problems.append("\(tokensOwed) fragments did not go back to the kernel") }
    if statistics.tokensUnknown != 0 {
      problems.append("the kernel did not know \(statistics.tokensUnknown) of the tokens")
    }
    if failsOnLinear && linearByteCount != 0 {
      problems.append("\(linearByteCount) bytes came outside of the dma-buf")
    }
    return problems
  }

  var fields: [(String, JSONValue)] {
    [
      ("interface", .string(interface)),
      ("queues", .array(queues.map { .integer(Int($0)) })),
      ("dmabufID", .integer(Int(bindingID))),
      ("deviceByteCount", .integer(statistics.deviceByteCount)),
      ("linearByteCount", .integer(statistics.linearByteCount)),
      ("unboundByteCount", .integer(statistics.unboundByteCount)),
      ("packetCount", .integer(statistics.packets)),
      ("deviceFragmentCount", .integer(statistics.deviceFragments)),
      ("tokensReturned", .integer(statistics.tokensReturned)),
      ("tokensOwed", .integer(tokensOwed)),
      ("tokensUnknown", .integer(statistics.tokensUnknown)),
      ("tokenCalls", .integer(statistics.tokenCalls)), ("stalls", .integer(statistics.stalls)),
      ("waits", .integer(statistics.waits)),
    ]
  }

  var rows: [(String, String)] {
    [
      (
        "payload",
        """
        \(statistics.deviceByteCount) bytes in device memory, \(statistics.linearByteCount) \
        linear, \(statistics.unboundByteCount) not by a bound queue
        """
      ),
      (
        "tokens",
        "\(statistics.tokensReturned) returned in \(statistics.tokenCalls) calls, \(tokensOwed) "
          + "owed"
      ),
      ("packets", "\(statistics.packets)"),
      ("stalls", "\(statistics.stalls) (waits: \(statistics.waits))"),
    ]
  }
}

/// Ordinary receives: every byte is in the dma-buf.
struct TCPWireReport: RecvWireReport {
  var place: String
  var interface: String?
  var byteCount = 0
  var packetCount = 0
  var stallCount = 0

  var problems: [String] { [] }

  var fields: [(String, JSONValue)] {
    [
      ("interface", interface.map { .string($0) } ?? .null), ("queues", .array([])),
      ("deviceByteCount", .integer(byteCount)), ("linearByteCount", .integer(0)),
      ("packetCount", .integer(packetCount)), ("stalls", .integer(stallCount)),
    ]
  }

  var rows: [(String, String)] { [("packets", "\(packetCount)"), ("stalls", "\(stallCount)")] }
}

/// A receive over an io_uring: every byte is in the dma-buf, and the buffers are a page pool's.
struct URingWireReport: RecvWireReport {
  var place: String
  var interface: String?
  var queues: [UInt32] = []
  var statistics = URingReceiverStatistics()
  /// Of zero-copy receive.
  var zeroCopy: ZeroCopyStatistics?

  var problems: [String] { [] }

  var fields: [(String, JSONValue)] {
    [
      ("interface", interface.map { .string($0) } ?? .null),
      ("queues", .array(queues.map { .integer(Int($0)) })),
      ("deviceByteCount", .integer(statistics.byteCount)), ("linearByteCount", .integer(0)),
      ("packetCount", .integer(statistics.packets)),
      ("requestCount", .integer(statistics.requests)),
      ("starvedCount", .integer(statistics.starved)), ("stalls", .integer(statistics.stalls)),
      ("waits", .integer(statistics.waits)),
    ]
      + (zeroCopy.map { zeroCopy in
        [
          ("copyCount", .integer(Int(clamping: zeroCopy.copyCount))),
          ("copyByteCount", .integer(Int(clamping: zeroCopy.copyByteCount))),
          ("copyEventCount", .integer(zeroCopy.copyEvents)),
          ("allocationFailureEventCount", .integer(zeroCopy.allocationFailureEvents)),
          ("flushCount", .integer(zeroCopy.flushes)),
        ]
      } ?? [])
  }

  var rows: [(String, String)] {
    [
      ("packets", "\(statistics.packets)"),
      ("requests", "\(statistics.requests), \(statistics.starved) ended without a buffer"),
      ("stalls", "\(statistics.stalls)"),
    ]
      + (zeroCopy.map { [("copied", "\($0.copyByteCount) bytes, by the kernel")] } ?? [])
  }
}
