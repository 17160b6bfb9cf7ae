// SPDX-License-Identifier: Apache-2.0

extension DevmemReceiver {
  /// What a receiver has done so far.
  public struct Statistics: Hashable, Sendable {
    /// Packets received.
    public var packets = 0
    /// Fragments in device memory, each with a token.
    public var deviceFragments = 0
    /// Bytes in those fragments.
    public var deviceByteCount = 0
    /// Bytes of a device memory flow that the card left outside of it (`SO_DEVMEM_LINEAR`).
    public var linearByteCount = 0
    /// Bytes that did not come by a bound queue at all: the flow is not steered to it, or the
    /// binding has gone.
    public var unboundByteCount = 0
    /// Calls that received nothing because ``Configuration/tokenLimit`` was reached.
    public var stalls = 0
    /// Calls that found the socket empty.
    package var waits = 0
    /// Control messages other than device memory's that found no room (`MSG_CTRUNC`), e.g.
    /// timestamps.
    package var truncatedControls = 0
    /// Tokens that the kernel has taken back.
    public var tokensReturned = 0
    /// Tokens that the kernel did not know when they were returned.
    package var tokensUnknown = 0
    /// System calls that returned tokens.
    package var tokenCalls = 0
    /// Of those, the ones that the kernel refused; their tokens were tried again.
    package var failedTokenCalls = 0

    /// Nothing yet.
    package init() {}
  }
}
