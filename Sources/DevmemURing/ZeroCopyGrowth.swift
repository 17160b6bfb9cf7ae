// SPDX-License-Identifier: Apache-2.0

package import Devmem

/// How an instance of zero-copy receive gets more memory while it receives
/// (`ZCRX_CTRL_ADD_AREA`): before the kernel has none left.
package struct ZeroCopyGrowth {
  /// Bytes that are added at once.
  package var stepByteCount: Int
  /// Bytes that there are at most, those of the beginning included.
  package var maximumByteCount: Int
  /// Below so many buffers that the kernel has, memory is added. In one call the kernel may fill as
  /// many as the socket's receive buffer has bytes for (`net.ipv4.tcp_rmem`: 6 MiB are 1536 pages),
  /// and more while a peer sends faster than it copies: what is less may be used up before anybody
  /// notices; the receive then ends, and goes on with the next memory, without losing a byte.
  package var lowWatermark: Int
  /// Where the memory comes from: called with `stepByteCount`, on the thread that receives.
  package var makeMemory: (_ byteCount: Int) throws -> DMABuf

  /// A policy.
  /// - Parameter makeMemory: nil makes udmabufs.
  package init(
    stepByteCount: Int, maximumByteCount: Int, lowWatermark: Int = 2048,
    makeMemory: ((_ byteCount: Int) throws -> DMABuf)? = nil
  ) {
    self.stepByteCount = stepByteCount
    self.maximumByteCount = maximumByteCount
    self.lowWatermark = lowWatermark
    self.makeMemory = makeMemory ?? { try DMABuf.udmabuf(byteCount: $0, name: "zcrx") }
  }
}
