// SPDX-License-Identifier: Apache-2.0
// Only a pool gives buffers back to a provider.
import DevmemPagePool

func misuse(_ provider: any MemoryProvider, _ iovs: Span<NetIOVReference>) {
  provider.release(iovs)  // expected-error: missing argument for parameter #2 in call
}
