// SPDX-License-Identifier: Apache-2.0
// The bytes are on loan for the call.
import DevmemPagePool

func misuse(_ buffer: borrowing Netmem) throws {
  var kept = RawSpan()  // expected-error: lifetime-dependent variable 'kept' escapes its scope
  try buffer.withBytes { kept = $0 }
  _ = kept.byteCount
}
