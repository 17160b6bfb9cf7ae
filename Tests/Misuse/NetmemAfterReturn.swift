// SPDX-License-Identifier: Apache-2.0
// Who has given a buffer away does not have it.
import DevmemPagePool

func release(_ buffer: consuming Netmem) {}

func misuse(_ pool: PagePool) throws {
  guard var buffer = pool.allocate() else { return }  // expected-error: 'buffer' used after consume
  release(buffer)
  try buffer.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
}
