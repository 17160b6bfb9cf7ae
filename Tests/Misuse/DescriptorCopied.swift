// SPDX-License-Identifier: Apache-2.0
// A descriptor is closed once.
import Devmem

func misuse(_ buffer: DMABuf) throws {
  // expected-error: 'descriptor' consumed more than once
  let descriptor = try buffer.duplicateDescriptor()
  let first = try DMABuf.imported(descriptor)
  let second = try DMABuf.imported(descriptor)
  _ = (first.inode, second.inode)
}
