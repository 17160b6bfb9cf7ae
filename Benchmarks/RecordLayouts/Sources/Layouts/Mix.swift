// SPDX-License-Identifier: Apache-2.0

/// In which order buffers of the two kinds are used.
enum Mix: String, CaseIterable {
  case host
  case device
  /// Host, device, host, device: header and payload of packet after packet.
  case alternating
  /// Host memory, but one in 16, at random, is device memory.
  case rare
  /// Either with equal chance.
  case random
  /// 256 of one kind, then 256 of the other.
  case runs
  /// The control: two pools at random, both of host memory. What this costs is not the kinds'
  /// fault.
  case control

  /// Longer than what a branch predictor can learn by heart. A power of two.
  static let length = 1 << 16

  /// 0 = host, 1 = device, 2 = host from another pool; made before anything is measured. Lives as
  /// long as the process.
  @unsafe
  func makeOrder() -> UnsafePointer<UInt8> {
    let order = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.length)
    var random: UInt64 = 0x9E37_79B9_7F4A_7C15
    for position in 0..<Self.length {
      random ^= random &<< 13
      random ^= random &>> 7
      random ^= random &<< 17
      unsafe order[position] =
        switch self {
        case .host: 0
        case .device: 1
        case .alternating: UInt8(position & 1)
        case .rare: random >> 32 & 15 == 0 ? 1 : 0
        case .random: UInt8(truncatingIfNeeded: random >> 32) & 1
        case .runs: UInt8(position >> 8 & 1)
        case .control: (UInt8(truncatingIfNeeded: random >> 32) & 1) << 1
        }
    }
    return unsafe UnsafePointer(order)
  }
}
