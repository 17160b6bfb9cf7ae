// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// When devices are done with a buffer (`struct dma_resv`, drivers/dma-buf/dma-resv.c).
///
/// A driver that uses the buffer puts a fence on it. For the CPU, ``withCPUAccess(_:_:)`` waits for
/// them, whatever the bytes are reached through; bytes that are touched outside of a bracket, by
/// this process or by another one that has the memory file, wait for nothing, and neither does a
/// system call that writes into the memory (`recvmsg`, io_uring, a read with O_DIRECT).
extension DMABuf {
  /// Whether no device is in the way of an access now.
  ///
  /// - Parameter access: `.read` is in the way of who writes; `.write` of all who use the buffer.
  /// - Throws: ``FenceError/Code/notADMABuf``.
  package func isReady(for access: DMABufAccess) throws(FenceError) -> Bool {
    try poll(for: access, milliseconds: 0)
  }

  /// Waits until no device is in the way of an access; blocks the calling thread.
  ///
  /// What a device begins afterwards is not waited for.
  /// - Parameters:
  ///   - access: `.read` waits for who writes; `.write` for all who use the buffer.
  ///   - limit: how long at most; nil = until then.
  /// - Throws: ``FenceError/Code/timedOut``, ``FenceError/Code/notADMABuf``. A fence that ends with
  ///   an error ends the wait as any other: ask ``fence(for:)`` where that matters.
  package func waitUntilReady(
    for access: DMABufAccess, waitingAtMost limit: Duration? = nil
  ) throws(FenceError) {
    guard try poll(for: access, milliseconds: Deadline.milliseconds(limit)) else {
      throw .timedOut(Self.waiting(access))
    }
  }

  /// Waits until no device is in the way of an access; suspends the calling task. A descriptor
  /// while it waits.
  ///
  /// - Parameters:
  ///   - access: `.read` waits for who writes; `.write` for all who use the buffer.
  ///   - watch: who looks at the buffer meanwhile.
  ///   - limit: how long at most; nil = until then.
  /// - Throws: as ``waitUntilReady(for:waitingAtMost:)``; ``FenceError/Code/cancelled`` for a task
  ///   that is; ``FenceError/Code/descriptorLimit``.
  package nonisolated(nonsending) func waitUntilReady(
    for access: DMABufAccess, on watch: FenceWatch, waitingAtMost limit: Duration? = nil
  ) async throws(FenceError) {
    // A descriptor of its own: readers and writers are watched at the same time.
    let descriptor = try withFences(of: Self.waiting(access)) { buffer throws(Errno) in
      WatchedBuffer(try buffer.duplicate())
    }
    try await watch.wait(
      for: descriptor.buffer.rawValue, of: descriptor, access.interest, limit,
      operation: Self.waiting(access))
  }

  /// The fences that are in the way of an access now, as one (`DMA_BUF_IOCTL_EXPORT_SYNC_FILE`,
  /// Linux 6.0). Signalled already where there is none.
  ///
  /// - Parameter access: `.read` takes the writers', `.write` those of all who use the buffer.
  /// - Throws: ``FenceError/Code/notADMABuf``, ``FenceError/Code/kernelUnsupported``,
  ///   ``FenceError/Code/descriptorLimit``.
  package func fence(for access: DMABufAccess) throws(FenceError) -> Fence {
    let operation = "taking the fences of a dma-buf"
    return try withFences(of: operation, { .exchanging(operation, $0) }) { buffer throws(Errno) in
      Fence(try buffer.exportSyncFile(access))
    }
  }

  /// Has a fence be in the way of other accesses to the buffer (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`,
  /// Linux 6.0): for devices whose drivers put none by themselves.
  ///
  /// - Parameters:
  ///   - fence: of the device's job; stays the caller's.
  ///   - access: what the job does: `.read` is in the way of writers, `.write` of everybody.
  /// - Throws: ``FenceError/Code/notADMABuf``, ``FenceError/Code/kernelUnsupported``.
  package func add(_ fence: Fence, as access: DMABufAccess) throws(FenceError) {
    let operation = "adding a fence to a dma-buf"
    try withFences(of: operation, { .exchanging(operation, $0) }) { buffer throws(Errno) in
      try buffer.importSyncFile(fence.file, access)
    }
  }

  /// Keeps the descriptor that is watched.
  private final class WatchedBuffer: Sendable {
    let buffer: DMABufDescriptor
    init(_ buffer: consuming DMABufDescriptor) { self.buffer = buffer }
  }

  private static func waiting(_ access: DMABufAccess) -> String {
    "waiting until devices let a dma-buf be \(access.contains(.write) ? "written" : "read")"
  }

  private func poll(for access: DMABufAccess, milliseconds: Int32) throws(FenceError) -> Bool {
    precondition(!access.isEmpty, "an access needs a direction")
    return try withFences(of: Self.waiting(access)) { buffer throws(Errno) in
      try buffer.wait(for: access, milliseconds: milliseconds)
    }
  }

  private func withFences<Result>(
    of operation: String, _ translate: ((Errno) -> FenceError)? = nil,
    _ body: (borrowing DMABufDescriptor) throws(Errno) -> Result
  ) throws(FenceError) -> Result {
    let result = try FenceError.wrapping(translate ?? { .step(operation, $0) }) {
      () throws(Errno) in try withDMABuf(body)
    }
    guard let result else { throw .notADMABuf(operation) }
    return result
  }
}
