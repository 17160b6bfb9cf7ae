// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool

/// The same code over host memory, device memory and both: what the question "which is it?" costs.
extension BenchCase {
  static let kinds = [
    kindCase("host_only", "allocate, look at the kind, return: host memory", .host),
    kindCase("device_only", "the same: device memory", .device),
    kindCase("mixed_random", "the same: one or the other at random", nil),
  ]

  private static func kindCase(
    _ name: String, _ summary: String, _ kind: Netmem.Kind?
  ) -> BenchCase {
    BenchCase(name, summary) {
      let host = try PagePool.forBench(kind: .host)
      let device = try PagePool.forBench(kind: .device)
      // The bits that stay random, and the bits that are always set.
      let mask: UInt64 = kind == nil ? 1 : 0
      let fixed: UInt64 = kind == .device ? 1 : 0
      return Loop { either_kind(host, device, mask, fixed, $0) }
    }
  }
}

@inline(never)
private func either_kind(
  _ host: PagePool, _ device: PagePool, _ mask: UInt64, _ fixed: UInt64, _ count: Int
) -> Int {
  var random: UInt64 = 0x9E37_79B9_7F4A_7C15
  var addresses: UInt64 = 0
  for done in 0..<count {
    // Xorshift, as good as any for deceiving a branch predictor.
    random ^= random &<< 13
    random ^= random &>> 7
    random ^= random &<< 17
    let isDevice = random & mask | fixed != 0
    guard let netmem = isDevice ? device.allocate() : host.allocate() else { return done }
    // What a driver does: an address for the one, a look at the memory for the other.
    if netmem.kind == .device {
      addresses ^= netmem.deviceAddress.rawValue
    } else {
      addresses ^= UInt64(netmem.byteCount)
    }
  }
  // Never the case, but the compiler cannot know.
  return addresses == 1 ? -1 : count
}
