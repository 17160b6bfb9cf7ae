// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// How many CPU access brackets are open on a buffer right now.
///
/// The buffer's owner counts brackets here (DMA_BUF_IOCTL_SYNC START adds one, END takes one away),
/// and ``Netmem/withBytes(_:)`` reads it, so that device memory can only be touched inside a
/// bracket. The record lives behind a pointer, at a fixed address, for as long as the buffer does.
/// Any thread may read and write it.
@frozen
public struct CPUAccessState: ~Copyable {
  /// Open brackets that allow reading.
  public let readerCount = Atomic<UInt32>(0)
  /// Open brackets that allow writing.
  public let writerCount = Atomic<UInt32>(0)

  /// A record with no bracket open.
  public init() {}
}
