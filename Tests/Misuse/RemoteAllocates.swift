// SPDX-License-Identifier: Apache-2.0
// What any thread may do does not include allocating.
import DevmemPagePool

func misuse(_ remote: PagePool.Remote) -> Bool {
  // expected-error: value of type 'PagePool.Remote' has no member 'allocate'
  remote.allocate() == nil
}
