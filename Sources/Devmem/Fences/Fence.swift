// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// The moment at which a device is done with some memory (`struct dma_fence`), as a sync file.
///
/// It comes once: a fence that has signalled stays so. Out of a buffer (``DMABuf/fence(for:)``) or
/// from the device's own interface; several holders share the one descriptor. All members may be
/// called from any thread.
package final class Fence: Sendable {
  let file: SyncFile

  /// Takes over a descriptor that is a sync file. It is closed if it is none.
  ///
  /// - Throws: ``FenceError/Code/notASyncFile``.
  package convenience init(
    _ descriptor: consuming OwnedFileDescriptor
  ) throws(FenceError) {
    let file = SyncFile(descriptor)
    _ = try FenceError.wrapping(FenceError.asking) { () throws(Errno) in try file.status() }
    self.init(file)
  }

  /// Takes over what is known to be a sync file: the kernel's answer, or a driver's.
  package init(_ file: consuming SyncFile) { self.file = file }

  /// The number of the sync file's descriptor. Borrowed: valid while this object lives.
  package var descriptorNumber: Int32 { file.descriptor.rawValue }

  /// How far the device is. One system call.
  ///
  /// - Throws: nothing that is expected.
  package var status: SyncFile.Status {
    get throws(FenceError) {
      try FenceError.wrapping(FenceError.asking) { () throws(Errno) in try file.status() }
    }
  }

  /// A second descriptor of the sync file, for another interface; the caller owns it.
  ///
  /// - Throws: ``FenceError/Code/descriptorLimit``.
  package func duplicateDescriptor() throws(FenceError) -> OwnedFileDescriptor {
    try FenceError.wrapping({ .step("duplicating a sync file", $0) }) {
      () throws(Errno) in try file.descriptor.duplicate()
    }
  }

  /// Waits until the device is done; blocks the calling thread.
  ///
  /// - Parameter limit: how long at most; nil = until then. Zero only asks.
  /// - Throws: ``FenceError/Code/timedOut``; ``FenceError/Code/failed`` if it ended with an error.
  package func wait(waitingAtMost limit: Duration? = nil) throws(FenceError) {
    let isOver = try FenceError.wrapping({ .step(Self.waiting, $0) }) {
      () throws(Errno) in try file.wait(milliseconds: Deadline.milliseconds(limit))
    }
    guard isOver else { throw .timedOut(Self.waiting) }
    try checkEnd()
  }

  /// Waits until the device is done; suspends the calling task.
  ///
  /// - Parameters:
  ///   - watch: who looks at the descriptor meanwhile.
  ///   - limit: how long at most; nil = until then.
  /// - Throws: as ``wait(waitingAtMost:)``; ``FenceError/Code/cancelled`` for a task that is;
  ///   ``FenceError/Code/descriptorLimit``.
  package nonisolated(nonsending) func wait(
    on watch: FenceWatch, waitingAtMost limit: Duration? = nil
  ) async throws(FenceError) {
    try await watch.wait(
      for: file.descriptor.rawValue, of: self, .readable, limit, operation: Self.waiting)
    try checkEnd()
  }

  private static let waiting = "waiting for a device's fence"

  private func checkEnd() throws(FenceError) {
    guard case .failed(let errno) = try status else { return }
    throw FenceError(
      .failed, Self.waiting, underlying: errno,
      remedy: "The device's job failed; the kernel says why: sudo dmesg | tail")
  }
}
