// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

extension HeaderSplitReceiver {
  /// What is there, by one system call.
  mutating func receiveUnframed(into packet: inout Packet) throws(HeaderSplitError)
    -> ReceiveOutcome
  {
    if let failure { throw failure }
    do throws(HeaderSplitError) {
      // A pool that is nearly empty makes packets smaller; an empty one stops them.
      guard try post(byteCount: maximumPayloadByteCount) || !posted.isEmpty else {
        return .exhausted(.payload)
      }
      vectors.removeAll()
      appendPosted(from: 0, to: min(maximumPayloadByteCount, posted.count * iovByteCount))
      switch try socket.receive(vectors) {
      case nil: return .wouldBlock
      case 0?:
        releaseBuffers()
        return .endOfStream
      case let count?:
        deliver(payloadByteCount: count, into: &packet)
        return .packet
      }
    } catch {
      releaseBuffers()
      failure = error
      throw error
    }
  }
}
