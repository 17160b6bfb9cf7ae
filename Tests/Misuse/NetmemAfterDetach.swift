// SPDX-License-Identifier: Apache-2.0
// A buffer that is detached is its token's.
import DevmemPagePool

func misuse(_ pool: PagePool) -> Int {
  // expected-error: 'buffer' used after consume
  guard let buffer = pool.allocate() else { return 0 }
  let token = buffer.detach()
  return token.rawValue == 0 ? 0 : buffer.byteCount
}
