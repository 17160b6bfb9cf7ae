// SPDX-License-Identifier: Apache-2.0

// The provider suite and the list provider, which users get as a product of their own.
@_exported public import DevmemTesting
