// SPDX-License-Identifier: Apache-2.0

/// What a call to receive a packet came to.
public enum ReceiveOutcome: Hashable, Sendable {
  /// The packet is filled.
  case packet
  /// The socket is not blocking and has no more data now. Nothing is lost: call again.
  case wouldBlock
  /// The stream ended between two packets. Datagram sockets never say this.
  case endOfStream
  /// There is no buffer left: end some fragments and call again. Nothing is lost; the data waits in
  /// the socket, which slows the sender down.
  ///
  /// `.payload`: the payload pool is empty; with device memory TCP, as many fragments are held as
  /// the receiver allows. `.header`: the pool of host buffers is empty.
  case exhausted(PoolRole)
}

/// Which of a receiver's two pools.
public enum PoolRole: String, Hashable, Sendable {
  /// The pool of host buffers, for headers and for what else does not belong into device memory.
  case header
  /// The memory for payload.
  case payload
}
