// SPDX-License-Identifier: Apache-2.0
// Who frees in the allocator beneath a binding what a pool holds hands the same bytes out twice.
import Devmem

func misuse(_ binding: DMABufBinding) -> GenPool {
  binding.genpool  // expected-error: 'genpool' is inaccessible due to 'package' protection level
}
