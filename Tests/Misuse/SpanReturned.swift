// SPDX-License-Identifier: Apache-2.0
// The bytes are on loan for the call.
import DevmemPagePool

func misuse(_ buffer: borrowing Netmem) throws -> Int {
  // expected-error: 'withBytes' requires that 'RawSpan' conform to 'Escapable'
  let bytes: RawSpan = try buffer.withBytes { $0 }
  return bytes.byteCount
}
