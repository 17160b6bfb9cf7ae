// SPDX-License-Identifier: Apache-2.0

/// How long the slices of a transfer took, each both ways, one right after the other: machines
/// change their speed within seconds, so only neighbours are compared.
struct DemoTimings: Sendable {
  struct Slice: Sendable {
    var byteCount: Int
    var device: Duration
    var malloc: Duration
  }

  var slices: [Slice] = []

  /// Bytes a second into device memory, over all slices.
  var throughput: Double {
    let seconds = slices.reduce(0) { $0 + $1.device.seconds }
    let byteCount = slices.reduce(0) { $0 + $1.byteCount }
    return seconds > 0 ? Double(byteCount) / seconds : 0
  }

  /// Device memory's speed divided by malloc's: the median of the slices' ratios. Above 1 is
  /// faster.
  var versusMalloc: Double {
    let ratios = slices.map { $0.malloc.seconds / $0.device.seconds }.filter(\.isFinite).sorted()
    guard !ratios.isEmpty else { return 0 }
    let middle = ratios.count / 2
    return ratios.count % 2 == 1 ? ratios[middle] : (ratios[middle - 1] + ratios[middle]) / 2
  }

  /// Cuts a transfer into slices of whole packets: at most 16, none below 16 MiB but the only one.
  static func slices(byteCount: Int, payloadByteCount: Int) -> [Range<Int>] {
    let count = min(max(byteCount / (16 << 20), 1), 16)
    let ideal = (byteCount + count - 1) / count
    let step = (ideal + payloadByteCount - 1) / payloadByteCount * payloadByteCount
    return stride(from: 0, to: byteCount, by: step).map { $0..<min($0 + step, byteCount) }
  }
}

extension Duration {
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
