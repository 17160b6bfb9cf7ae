// SPDX-License-Identifier: Apache-2.0
// Writing needs the handle to itself.
import DevmemPagePool

func misuse(_ buffer: borrowing Netmem) throws {
  // expected-error: cannot use mutating member on immutable value: 'buffer' is a 'let' constant
  try buffer.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
}
