// SPDX-License-Identifier: Apache-2.0

/// One way of receiving the stream: into device memory, or into malloc'd buffers for comparison.
protocol DemoPath: AnyObject {
  /// Receives the next `byteCount` bytes of payload, has them read, and returns when the last
  /// buffer of them is back. `progress` gets the bytes received so far.
  func transfer(byteCount: Int, progress: (Int) -> Void) throws
}

/// Sizes that both ways share.
enum DemoSizes {
  /// Payload of one packet, or one IOV where that is larger: a TSO frame's size.
  static let payloadByteCount = 64 << 10
  /// Payload of one batch to the reader: what one pair of sync brackets and two messages are spread
  /// over, and little enough that reader and receiver work side by side.
  static let batchByteCount = 1 << 20
  /// Payload buffers at most: the largest dma-buf that udmabuf makes by default up to Linux 6.12.
  static let bufferByteLimit = 64 << 20
  /// And at least: two payloads of the largest kind, each one IOV of 2 MiB.
  static let bufferByteMinimum = 4 << 20
}
