// SPDX-License-Identifier: Apache-2.0

/// What `send` has found out.
struct SendReport {
  let wire: SendWire
  /// What this wire has to say.
  var details: any SendWireReport
  var byteCount = 0
  /// Buffers that are not back in their pool.
  var heldCount = 0
  /// Times that no buffer was free, and completions were waited for.
  var poolWaits = 0
  var duration: Duration = .zero
  var sha256 = ""
  /// Nil where it was not asked for.
  var crc32: CRC32?

  init(_ wire: SendWire, _ details: any SendWireReport) {
    self.wire = wire
    self.details = details
  }

  var throughput: Double {
    duration.seconds > 0 ? Double(byteCount) / duration.seconds : 0
  }

  /// What is wrong; empty when all is as it should be.
  var problems: [String] {
    var problems = details.problems(byteCount)
    if heldCount != 0 { problems.append("\(heldCount) buffers did not come back") }
    return problems
  }

  var json: JSONValue {
    .object(
      [("wire", .string(wire.rawValue)), ("byteCount", .integer(byteCount))] + details.fields + [
        ("poolWaitCount", .integer(poolWaits)), ("inFlightAtEnd", .integer(heldCount)),
        ("sha256", .string(sha256)), ("crc32", crc32.map { .string($0.hexadecimal) } ?? .null),
        ("seconds", .number(duration.seconds)),
        ("throughputBytesPerSecond", .integer(Int(throughput))),
      ])
  }

  var table: String {
    transferTable(
      [("sent", "\(ByteCount(byteCount)) out of \(details.place)")] + details.rows + [
        ("waits", "\(poolWaits) for a buffer"),
        ("in flight", "\(heldCount)"), ("sha256", sha256),
        ("throughput", "\(Int(throughput / 1e6)) MB/s"),
      ] + (crc32.map { [("crc32", $0.hexadecimal)] } ?? []))
  }
}
