// SPDX-License-Identifier: Apache-2.0
// Who frees in the allocator beneath a carving what a pool holds hands the same bytes out twice.
import Devmem

func misuse(_ cut: DMABufCarving) {
  _ = cut.genpool  // expected-error: 'genpool' is inaccessible due to 'package' protection level
}
