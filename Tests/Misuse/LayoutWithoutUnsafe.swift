// SPDX-License-Identifier: Apache-2.0
// Who says where memory lies vouches for it: it takes the word.
import DevmemPagePool

func misuse(_ memory: UnsafeMutableRawPointer) -> NetIOVArea.Layout {
  // expected-error: expression uses unsafe constructs but is not marked with 'unsafe'
  NetIOVArea.Layout(
    baseVirtual: 0, baseAddress: DeviceAddress(0, kind: .virtual), iovCount: 1, kind: .host,
    cpuBase: memory)
}
