// SPDX-License-Identifier: Apache-2.0
// A provider cannot keep what a pool shows it.
import DevmemPagePool

final class Keeper {
  var access: MemoryProviderAccess?

  func attach(_ access: borrowing MemoryProviderAccess) {
    // expected-error: implicit conversion to 'MemoryProviderAccess?' is consuming
    self.access = access
  }
}
