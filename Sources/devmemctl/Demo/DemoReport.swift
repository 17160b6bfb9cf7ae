// SPDX-License-Identifier: Apache-2.0

import Devmem

/// What the demo has found out.
struct DemoReport: Sendable {
  var exporter: String
  var isExported: Bool
  var kernel: String
  /// Size of the dma-buf.
  var byteCount: Int
  var iovByteCount: Int
  var payloadByteCount: Int
  /// Payload that lay in IOVs of a real dma-buf: 0 for a bare memory file.
  var payloadInDeviceMemoryByteCount: Int
  var headerCount: Int
  var sha256Sent: String
  var sha256SeenByImporter: String
  var drmImport: String
  /// Buffers that are still out after both pools were closed.
  var inFlightAtEnd: Int
  var statistics: PagePool.Statistics
  var timings: DemoTimings

  /// What is wrong; empty when the demo has shown what it should.
  var problems: [String] {
    var problems: [String] = []
    if sha256Sent != sha256SeenByImporter {
      problems.append("the importer saw other bytes than were sent")
    }
    if inFlightAtEnd != 0 { problems.append("\(inFlightAtEnd) buffers did not come back") }
    if drmImport != DRMImport.success && drmImport != DRMImport.noDevice {
      problems.append("DRM import: \(drmImport)")
    }
    if isExported && payloadInDeviceMemoryByteCount != payloadByteCount {
      problems.append("not all payload was in device memory")
    }
    return problems
  }

  var json: JSONValue {
    .object([
      ("exporter", .string(exporter)), ("isExported", .boolean(isExported)),
      ("kernel", .string(kernel)), ("byteCount", .integer(byteCount)),
      ("iovByteCount", .integer(iovByteCount)), ("payloadByteCount", .integer(payloadByteCount)),
      ("payloadInDeviceMemoryByteCount", .integer(payloadInDeviceMemoryByteCount)),
      ("headerCount", .integer(headerCount)), ("sha256Sent", .string(sha256Sent)),
      ("sha256SeenByImporter", .string(sha256SeenByImporter)), ("drmImport", .string(drmImport)),
      ("inFlightAtEnd", .integer(inFlightAtEnd)),
      ("recyclePercent", .number(statistics.recyclePercent)),
      (
        "statistics",
        .object([
          ("alloc", Self.object(allocCounters)), ("recycle", Self.object(recycleCounters)),
        ])
      ),
      ("throughputBytesPerSecond", .integer(Int(timings.throughput))),
      ("throughputVersusMalloc", .number(timings.versusMalloc)),
    ])
  }

  // The names of `page-pool-stats-get`.
  private var allocCounters: [(String, UInt64)] {
    let alloc = statistics.alloc
    return [
      ("fast", alloc.fast), ("slow", alloc.slow), ("slow_high_order", alloc.slowHighOrder),
      ("empty", alloc.empty), ("refill", alloc.refill), ("waive", alloc.waive),
    ]
  }

  private var recycleCounters: [(String, UInt64)] {
    let recycle = statistics.recycle
    return [
      ("cached", recycle.cached), ("cache_full", recycle.cacheFull), ("ring", recycle.ring),
      ("ring_full", recycle.ringFull), ("released_refcnt", recycle.releasedRefcnt),
    ]
  }

  private static func object(_ counters: [(String, UInt64)]) -> JSONValue {
    .object(counters.map { (key: $0.0, value: .integer(Int(clamping: $0.1))) })
  }

  /// Aligned lines for people.
  func table(for terminal: Terminal) -> String {
    func line(_ counters: [(String, UInt64)]) -> String {
      counters.map { "\($0.0) \($0.1)" }.joined(separator: "  ")
    }
    let isEqual = sha256Sent == sha256SeenByImporter
    let rows = [
      (
        "dma-buf",
        "\(ByteCount(byteCount)) from \(exporter)"
          + (isExported ? "" : " (no dma-buf: a stand-in)") + ", IOVs of "
          + "\(ByteCount(iovByteCount)), Linux \(kernel)"
      ),
      (
        "payload",
        "\(ByteCount(payloadByteCount)) in \(headerCount) packets; in device memory: "
          + "\(payloadInDeviceMemoryByteCount) of \(payloadByteCount) bytes"
      ),
      ("sent", "sha256 \(sha256Sent)"),
      (
        "importer",
        "sha256 \(sha256SeenByImporter) "
          + terminal.styled(isEqual ? "(equal)" : "(DIFFERENT)", isEqual ? .green : .red)
      ),
      ("DRM import", drmImport),
      ("alloc", line(allocCounters)),
      ("recycle", line(recycleCounters)),
      ("recycled", "\(statistics.recyclePercent.rounded(toPlaces: 2)) %"),
      ("in flight", "\(inFlightAtEnd)"),
      (
        "throughput",
        "\(Int(timings.throughput / 1e6)) MB/s, "
          + "\(timings.versusMalloc.rounded(toPlaces: 2)) times that into malloc'd buffers"
      ),
    ]
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { name, value in
      name + String(repeating: " ", count: width - name.count + 2) + value + "\n"
    }.joined()
  }
}

extension Double {
  func rounded(toPlaces places: Int) -> Double {
    var factor = 1.0
    for _ in 0..<places { factor *= 10 }
    return (self * factor).rounded() / factor
  }
}
