// SPDX-License-Identifier: Apache-2.0

extension DevmemReceiver {
  /// How much a receiver takes at once, and how much it may hold.
  public struct Configuration: Hashable, Sendable {
    /// Fragments of one packet at most, 1 to 65536. 40 bytes of control memory each, allocated
    /// once.
    public var fragmentLimit: Int
    /// Bytes of one packet at most, 1 to 1024 buffers of the pool of linear bytes. So much host
    /// memory is posted for what may come outside of the bound memory: a socket call takes no more
    /// bytes than it could copy.
    public var byteLimit: Int
    /// Fragments that may be held, or be on their way back, before
    /// ``DevmemReceiver/receive(into:)`` says ``ReceiveOutcome/exhausted(_:)``; 1 to 2^24. Nil:
    /// half of what the buffer has room for.
    ///
    /// The card cannot fill memory that is held. With a limit that lets all of it be held the flow
    /// stalls, and nothing says so: the card drops packets, and TCP repeats them until memory comes
    /// back. The half that is left is for the card's rings and for what waits in the socket.
    public var tokenLimit: Int?

    /// A configuration.
    public init(fragmentLimit: Int = 256, byteLimit: Int = 256 << 10, tokenLimit: Int? = nil) {
      self.fragmentLimit = fragmentLimit
      self.byteLimit = byteLimit
      self.tokenLimit = tokenLimit
    }
  }
}
