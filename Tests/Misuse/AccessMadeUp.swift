// SPDX-License-Identifier: Apache-2.0
// Only a pool calls a provider.
import DevmemPagePool

func misuse(_ provider: any MemoryProvider, _ iovs: Span<NetIOVReference>) {
  // expected-error: 'MemoryProviderAccess' initializer is inaccessible due to 'internal'
  provider.release(iovs, MemoryProviderAccess())
}
