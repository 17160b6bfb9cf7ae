// SPDX-License-Identifier: Apache-2.0
// The records of a binding are its pools'.
import Devmem

func misuse(_ binding: DMABufBinding) -> NetIOVSlab {
  binding.slab  // expected-error: 'slab' is inaccessible due to 'package' protection level
}
