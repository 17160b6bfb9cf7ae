// SPDX-License-Identifier: Apache-2.0

extension DevmemSender {
  /// How much may be in flight.
  public struct Configuration: Hashable, Sendable {
    /// Fragments in flight at most, also in one packet (there at most 1024, `UIO_MAXIOV`); 1 to
    /// 2^24, rounded up to a power of two.
    public var fragmentLimit: Int
    /// System calls in flight at most; 1 to 2^24, rounded up to a power of two. The kernel keeps
    /// about 200 bytes for each, out of `net.core.optmem_max`.
    public var callLimit: Int

    /// A configuration.
    public init(fragmentLimit: Int = 4096, callLimit: Int = 512) {
      self.fragmentLimit = fragmentLimit
      self.callLimit = callLimit
    }
  }

  /// What a sender has done so far.
  public struct Statistics: Hashable, Sendable {
    /// Packets taken.
    public var packets = 0
    /// Bytes that the kernel took straight out of device memory.
    public var deviceByteCount = 0
    /// Bytes that were copied out of host memory.
    public var copiedByteCount = 0
    /// Zero-copy system calls.
    public var calls = 0
    /// Of those, the ones that took part of what they were given.
    package var partialCalls = 0
    /// Zero-copy system calls that are done.
    package var completedCalls = 0
    /// Messages that said so; one covers a range.
    package var completionMessages = 0
    /// Calls for which the kernel copied after all. Never, for device memory.
    public var copiedCalls = 0
    /// Numbers in completions that were not in flight: somebody else sends on this socket.
    package var unexpectedCompletions = 0
    /// Packets that were not taken because too much was in flight.
    public var refusals = 0

    /// Nothing yet.
    package init() {}
  }
}
