// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// Why a packet could not be received or sent. The buffers it had are back in their pools.
public enum HeaderSplitError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The stream ended inside a header.
  case truncatedHeader(receivedByteCount: Int, expectedByteCount: Int)
  /// The stream ended inside a payload.
  case truncatedPayload(receivedByteCount: Int, expectedByteCount: Int)
  /// A datagram is shorter than the header. It is lost, the next one can be received.
  case shortDatagram(byteCount: Int, headerByteCount: Int)
  /// A header makes no sense to the framing rule.
  case malformedHeader
  /// A header announces more payload than the framing rule allows.
  case oversizePayload(announcedByteCount: Int, maximumByteCount: Int)
  /// A datagram has more payload than allowed. It is lost, the next one can be received.
  case oversizeDatagram(maximumPayloadByteCount: Int)
  /// The pool's memory can't be reached by this CPU, so the kernel can't copy into it.
  case noCPUMapping(PoolRole)
  /// The header does not fit into one buffer of the header pool.
  case headerExceedsBuffer(headerByteCount: Int, bufferByteCount: Int)
  /// A payload needs more buffers than one system call can take (UIO_MAXIOV, 1024).
  case tooManyFragments(count: Int, limit: Int)
  /// The socket refused.
  case socket(Errno)

  /// What is wrong and what to do.
  public var description: String {
    switch self {
    case .truncatedHeader(let received, let expected):
      "the stream ended after \(received) of \(expected) header bytes: the peer closed too early"
    case .truncatedPayload(let received, let expected):
      "the stream ended after \(received) of \(expected) payload bytes: the peer closed too early"
    case .shortDatagram(let count, let header):
      "a datagram of \(count) bytes is shorter than the header of \(header) bytes"
    case .malformedHeader:
      "a header makes no sense: the peer speaks another protocol, or the stream is out of step"
    case .oversizePayload(let announced, let maximum):
      "a header announces \(announced) bytes, more than the framing rule's \(maximum)"
    case .oversizeDatagram(let maximum):
      "a datagram has more than \(maximum) bytes of payload"
    case .noCPUMapping(let role):
      "the \(role.rawValue) pool's memory has no CPU mapping, so a socket can't copy into it: "
        + "use a DMABuf that has one (udmabuf, dma-heap), or a NIC that writes to it (devmem TCP)"
    case .headerExceedsBuffer(let header, let buffer):
      "a header of \(header) bytes does not fit into a buffer of \(buffer): use larger buffers "
        + "in the header pool"
    case .tooManyFragments(let count, let limit):
      "a payload would take \(count) buffers and a system call takes \(limit): use larger IOVs "
        + "or smaller payloads"
    case .socket(.EFAULT):
      "the socket failed: EFAULT: the flow's payload is in device memory, which only "
        + "DevmemReceiver can receive"
    case .socket(let error):
      "the socket failed: \(error)"
    }
  }
}
