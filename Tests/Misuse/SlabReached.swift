// SPDX-License-Identifier: Apache-2.0
// The records of a carving are its pools'.
import Devmem

func misuse(_ carving: DMABufCarving) -> NetIOVSlab {
  carving.slab  // expected-error: 'slab' is inaccessible due to 'package' protection level
}
