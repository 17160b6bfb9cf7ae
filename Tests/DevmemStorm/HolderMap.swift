// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemPagePool
import Synchronization

/// Who has which bytes, by 64 of them: host memory first, then device memory. A second holder is a
/// fault.
final class HolderMap: Sendable {
  private final class Page: Sendable { let lines = Atomic<UInt64>(0) }
  private let pages: [Page]
  private let hostByteCount: Int
  let faults = Atomic<Int>(0)

  init(hostByteCount: Int, deviceByteCount: Int) {
    self.hostByteCount = hostByteCount
    pages = (0..<(hostByteCount + deviceByteCount) / 4096).map { _ in Page() }
  }

  func take(_ netmem: borrowing Netmem) { take(place(of: netmem)) }
  /// To be called before the buffer is given up.
  func give(_ netmem: borrowing Netmem) { give(place(of: netmem)) }

  func place(of netmem: borrowing Netmem) -> Range<Int> {
    place(netmem.kind, netmem.offset, netmem.byteCount)
  }
  func place(of fragment: borrowing NetmemFragment) -> Range<Int> {
    place(fragment.kind, fragment.offset, fragment.byteCount)
  }
  private func place(_ kind: Netmem.Kind, _ offset: UInt64, _ byteCount: Int) -> Range<Int> {
    let start = Int(offset) + (kind == .host ? 0 : hostByteCount)
    return start..<start + byteCount
  }

  func take(_ bytes: Range<Int>) {
    change(bytes) { page, mask in
      page.bitwiseOr(mask, ordering: .acquiringAndReleasing).oldValue & mask == 0
    }
  }
  func give(_ bytes: Range<Int>) {
    change(bytes) { page, mask in
      page.bitwiseAnd(~mask, ordering: .acquiringAndReleasing).oldValue & mask == mask
    }
  }

  private func change(
    _ bytes: Range<Int>, _ body: (borrowing Atomic<UInt64>, _ mask: UInt64) -> Bool
  ) {
    var start = bytes.lowerBound
    while start < bytes.upperBound {
      let end = min(bytes.upperBound, (start | 4095) + 1)
      let lines = (end - start + 63) / 64
      let run: UInt64 = lines == 64 ? ~0 : 1 << UInt64(lines) - 1
      let mask = run << UInt64((start & 4095) / 64)
      if !body(pages[start / 4096].lines, mask) { fault() }
      start = end
    }
  }

  func fault() { faults.add(1, ordering: .relaxed) }
}
