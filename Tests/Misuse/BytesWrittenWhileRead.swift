// SPDX-License-Identifier: Apache-2.0
// Nobody writes what is being read through the same handle.
import DevmemPagePool

func misuse(_ pool: PagePool) throws {
  guard var buffer = pool.allocate() else { return }
  // expected-error: overlapping accesses to 'buffer', but modification requires exclusive access
  try buffer.withMutableBytes { bytes in
    try buffer.withBytes { bytes.storeBytes(of: $0.byteCount, as: Int.self) }
  }
}
