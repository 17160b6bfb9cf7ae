// SPDX-License-Identifier: Apache-2.0

// What comes with `import DevmemNet` besides its own: who receives into device memory names the
// interface, sets the card up and binds (NetworkInterface, NICSetup, NetdevBinding), and a receiver
// is made of that binding.
@_exported public import DevmemNIC
