// SPDX-License-Identifier: Apache-2.0

/// The pages that a memory file or a mapping is made of.
public enum PageSize: String, CaseIterable, Sendable {
  /// Base pages: the kernel's, which are of 4 KiB on x86-64, and of 16 or 64 KiB on some others.
  case base4K = "4K"
  /// Huge pages of 2 MiB from the kernel's pool (`/proc/sys/vm/nr_hugepages`).
  case huge2M = "2M"
  /// Huge pages of 1 GiB from the kernel's pool (`hugepagesz=1G hugepages=N` at boot).
  case huge1G = "1G"

  /// Bytes of one page.
  public var byteCount: Int { 1 << shift }

  /// log2 of ``byteCount``: 12 (or 14, or 16), 21 or 30.
  package var shift: Int {
    switch self {
    case .base4K: SystemProcess.pageByteCount.trailingZeroBitCount
    case .huge2M: 21
    case .huge1G: 30
    }
  }

  /// What the shims take: 0 for base pages, else the shift.
  var hugeShift: UInt32 { self == .base4K ? 0 : UInt32(shift) }
}
