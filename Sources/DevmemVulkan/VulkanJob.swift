// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
package import Devmem
internal import DevmemSystem

/// Bytes of a buffer that a shader works on.
package struct VulkanFragment: Hashable, Sendable {
  /// Where they begin in the buffer, in bytes.
  package var offset: Int
  /// How many there are.
  package var byteCount: Int
  /// Where the shader writes, for those that do: bytes of the buffer that is written; a multiple
  /// of 4 for ``VulkanShader/Kind/widen``.
  package var destination: Int

  package init(offset: Int, byteCount: Int, destination: Int = 0) {
    self.offset = offset
    self.byteCount = byteCount
    self.destination = destination
  }
}

/// A shader's run over fragments (`vkQueueSubmit`), under way or ended. It keeps its memory until
/// it has ended: its last reference waits for that. Any thread.
@safe package final class VulkanJob: Sendable {
  /// When the device is done with the fragments, for ``FenceReturner``; nil if it was at once.
  package let fence: Fence?
  private let fragmentCount: Int
  private let shader: VulkanShader
  private let read: VulkanMemory
  private let written: VulkanMemory
  // SAFETY: made in init, closed in deinit once it has ended.
  private nonisolated(unsafe) let job: OpaquePointer

  deinit {
    // However long it takes: the device would go on in memory that is freed. A device that is lost
    // has ended, too.
    _ = unsafe cvulkan_job_wait(job, .max)
    unsafe cvulkan_job_close(job)
  }

  /// Runs a shader over fragments, as soon as no other device is in the way.
  ///
  /// The job's fence is put on the buffers, so that ``DMABuf/withCPUAccess(_:_:)`` waits for it.
  /// - Parameters:
  ///   - shader: what to do.
  ///   - fragments: one or more, anywhere in `memory`. They may overlap where they are only read;
  ///     where a shader writes elsewhere, destinations must not.
  ///   - memory: what has the fragments.
  ///   - destination: what the shader writes, where it writes elsewhere; may be the same memory.
  ///   - fences: nil: this call blocks until the devices before are done, which their fences on the
  ///     buffers say. Else the device's queue waits, for those and for these; the call does not.
  ///   - limit: how long this call blocks at most; nil = until then.
  /// - Throws: ``VulkanError/Code/invalidFragment``, ``VulkanError/Code/sizeLimit``,
  ///   ``VulkanError/Code/outOfMemory``, ``VulkanError/Code/deviceLost``;
  ///   ``VulkanError/Code/deviceUnsupported`` for a queue that cannot wait; ``FenceError`` for the
  ///   wait before. The device does nothing then.
  package init(
    _ shader: VulkanShader, over fragments: [VulkanFragment], of memory: VulkanMemory,
    into destination: VulkanMemory? = nil, after fences: [Fence]? = nil,
    waitingAtMost limit: Duration? = nil
  ) throws {
    let written = destination ?? memory
    let kind = shader.kind
    try Self.check(fragments, kind, memory, written, shader.device)
    let uses = Self.uses(of: memory, written, by: kind)
    let waits = try Self.waits(for: uses, after: fences, limit, on: shader.device)
    let plan = try JobPlan(fragments, kind, memory, written)
    let name = shader.device.description.name
    let begun = unsafe try VulkanError.wrapping({ .step("running a shader on \(name)", $0) }) {
      () throws(Errno) in
      unsafe try vulkan_jobBegin(
        shader.shader, read: memory.memory, written: written.memory, list: plan.list,
        resultCount: fragments.count, parts: plan.parts,
        waits: waits.map(\.descriptorNumber))
    }
    withExtendedLifetime(waits) {}
    unsafe job = unsafe begun.job
    self.shader = shader
    read = memory
    self.written = written
    fragmentCount = fragments.count
    // What a driver gives as a sync file is one: nothing asks it once more.
    fence = unsafe begun.syncFile.map { Fence(SyncFile(OwnedFileDescriptor(owning: $0))) }
    // From here on the job is this object's, whose end waits for it.
    if let fence {
      for (buffer, access) in uses { try buffer.add(fence, as: access) }
    }
  }

  /// What the shader does to which buffers.
  private static func uses(
    of memory: VulkanMemory, _ written: VulkanMemory, by kind: VulkanShader.Kind
  ) -> [(DMABuf, DMABufAccess)] {
    let reading = [(memory.buffer, kind.writesMemory ? DMABufAccess.write : .read)]
    return kind.needsDestination ? reading + [(written.buffer, .write)] : reading
  }

  /// What the queue has to wait for; what it has not, has been waited for.
  private static func waits(
    for uses: [(DMABuf, DMABufAccess)], after fences: [Fence]?, _ limit: Duration?,
    on device: VulkanDevice
  ) throws -> [Fence] {
    guard let fences else {
      for (buffer, access) in uses {
        try buffer.waitUntilReady(for: access, waitingAtMost: limit)
      }
      return []
    }
    guard device.description.canWait else {
      throw VulkanError(
        .deviceUnsupported, "having the queue of \(device.description.name) wait for fences",
        remedy: "It does not take sync files: wait for them before (Fence.wait).")
    }
    return try fences + uses.map { try $0.0.fence(for: $0.1) }
  }

  /// Waits until the device is done, and says what the shader found, fragment by fragment.
  ///
  /// - Parameter limit: how long to wait at most; nil = until then.
  /// - Throws: ``VulkanError/Code/timedOut``, ``VulkanError/Code/deviceLost``.
  package func results(waitingAtMost limit: Duration? = nil) throws(VulkanError) -> [UInt32] {
    let nanoseconds = limit.map { UInt64(clamping: $0.attoseconds / 1_000_000_000) } ?? .max
    let operation = "waiting for a shader on \(shader.device.description.name)"
    try VulkanError.wrapping({ errno in
      errno == .ETIMEDOUT
        ? VulkanError(
          .timedOut, operation, underlying: errno,
          remedy: "Wait longer; until it has ended its memory must not be used for anything else.")
        : .step(operation, errno)
    }) { () throws(Errno) in
      try unsafe vulkan_jobWait(job, nanoseconds: nanoseconds)
    }
    // SAFETY: the job has ended, and has as many words.
    return unsafe Array(
      UnsafeBufferPointer(start: cvulkan_job_results(job), count: fragmentCount))
  }

  private static func check(
    _ fragments: [VulkanFragment], _ kind: VulkanShader.Kind, _ memory: VulkanMemory,
    _ written: VulkanMemory, _ device: VulkanDevice
  ) throws(VulkanError) {
    let operation = "running the shader \(kind.rawValue) over \(fragments.count) fragments"
    guard !fragments.isEmpty else {
      throw VulkanError(.invalidFragment, operation, remedy: "Pass one fragment or more.")
    }
    guard fragments.count <= device.description.fragmentLimit else {
      throw VulkanError(
        .sizeLimit, operation,
        remedy: "\(device.description.name) takes \(device.description.fragmentLimit) at a time.")
    }
    precondition(
      memory.device === device && written.device === device, "memory of another device")
    for fragment in fragments {
      guard fragment.offset >= 0, fragment.byteCount >= 0,
        fragment.byteCount <= memory.buffer.byteCount,
        fragment.offset <= memory.buffer.byteCount - fragment.byteCount,
        fragment.offset % kind.alignment == 0
      else {
        throw VulkanError(
          .invalidFragment, operation,
          remedy: "\(fragment.byteCount) bytes at \(fragment.offset) are not in the buffer of"
            + " \(memory.buffer.byteCount), or do not begin at a multiple of \(kind.alignment).")
      }
      guard kind.needsDestination else { continue }
      let byteCount = kind.writtenByteCount(fragment.byteCount)
      guard fragment.destination >= 0,
        fragment.destination % kind.destinationAlignment == 0,
        byteCount <= written.buffer.byteCount,
        fragment.destination <= written.buffer.byteCount - byteCount
      else {
        throw VulkanError(
          .invalidFragment, operation,
          remedy: "\(byteCount) bytes at \(fragment.destination) are not in the buffer of"
            + " \(written.buffer.byteCount) that is written, or do not begin at a multiple of"
            + " \(kind.destinationAlignment).")
      }
    }
  }
}
