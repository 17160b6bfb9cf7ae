// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// A physically contiguous run of a dma-buf, in dma-buf order (an entry of its `sg_table`).
public struct DMABufExtent: Hashable, Sendable {
  /// Where the run begins in the dma-buf, in bytes.
  public let offset: Int
  /// How long it is, in bytes.
  public let byteCount: Int
  /// The physical address of its first byte; nil where it is not known.
  public let address: DeviceAddress?

  /// Describes a run.
  package init(offset: Int, byteCount: Int, address: DeviceAddress?) {
    self.offset = offset
    self.byteCount = byteCount
    self.address = address
  }
}
