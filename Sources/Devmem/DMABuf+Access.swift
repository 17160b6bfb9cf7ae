// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

extension DMABuf {
  /// Runs `body` between `DMA_BUF_IOCTL_SYNC` START and END: what the CPU does to the bytes of the
  /// buffer belongs in here.
  ///
  /// The bracket covers the whole buffer (the kernel has no ranges), and costs two system calls:
  /// bracket batches, not single IOVs. Brackets may nest and overlap between threads. A bare memory
  /// file needs no system call; the bracket is still counted, so that the same code runs.
  ///
  /// It waits for the fences that drivers have put on the buffer, however long that takes: for
  /// reading, for devices that write; for writing, for all that use it. This holds as well for a
  /// ``cpuMapping`` of the memory file. What is touched outside of a bracket waits for nothing.
  ///
  /// - Parameters:
  ///   - access: `.read`, `.write` or `.readWrite`.
  ///   - body: what to do; may throw, the bracket is closed all the same.
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws; ``DevmemError`` if the exporter refuses to begin, or to end
  ///   after a body that succeeded; ``DevmemError/Code/unreadable`` for writing to memory that the
  ///   CPU may only read.
  public func withCPUAccess<Result: ~Copyable>(
    _ access: DMABufAccess, _ body: () throws -> Result
  ) throws -> Result {
    precondition(!access.isEmpty, "CPU access needs a direction")
    // The mapping of a dma-buf that was exported without write permission. No bracket for writing
    // opens, and so no handle of a pool over the memory gives its bytes for writing either.
    if let cpuMapping, !cpuMapping.isWritable, access.contains(.write) {
      throw DMABuf.readOnly(exporter)
    }
    try DevmemError.wrapping({ .step("beginning CPU access to a dma-buf", $0) }) {
      () throws(Errno) in try beginSync(access)
    }
    accessRecord.open(access)
    let result: Result
    do {
      result = try body()
    } catch {
      accessRecord.close(access)
      // The body's error is the one that matters.
      try? endSync(access)
      throw error
    }
    accessRecord.close(access)
    try DevmemError.wrapping({ .step("ending CPU access to a dma-buf", $0) }) {
      () throws(Errno) in try endSync(access)
    }
    return result
  }

  /// Runs `body` with all bytes of the buffer inside a bracket of CPU access.
  ///
  /// - Parameters:
  ///   - access: what will be done to the bytes.
  ///   - body: gets the bytes in dma-buf order; they must not escape.
  /// - Throws: what `body` throws; ``DevmemError/Code/unreadable`` where the CPU cannot reach the
  ///   memory that way; else as ``withCPUAccess(_:_:)``.
  @safe public func withBytes<Result: ~Copyable>(
    _ access: DMABufAccess, _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) throws -> Result {
    if let cpuMapping, !cpuMapping.isWritable, access.contains(.write) {
      throw DMABuf.readOnly(exporter)
    }
    guard let cpuMapping else {
      throw DevmemError(
        .unreadable, "reaching the bytes of a dma-buf from \(exporter)",
        remedy: "Its exporter gives the CPU no such mapping: use a device that imports it.")
    }
    return try withCPUAccess(access) {
      // SAFETY: the mapping keeps the mapping alive during the call.
      unsafe try body(cpuMapping.bytes)
    }
  }

  /// Reads all bytes of the buffer inside a bracket of CPU access.
  ///
  /// - Parameter body: gets the bytes in dma-buf order.
  /// - Throws: as ``withBytes(_:_:)``.
  public func withBytes<Result: ~Copyable>(
    _ body: (RawSpan) throws -> Result
  ) throws -> Result {
    try withBytes(.read) { bytes in
      // SAFETY: valid during the call, which the span cannot outlive.
      try body(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(bytes)))
    }
  }

  private static func readOnly(_ exporter: Exporter) -> DevmemError {
    DevmemError(
      .unreadable, "writing to the bytes of a dma-buf from \(exporter), which may only be read",
      remedy: "Its exporter gave it out without write permission: have it export for writing too"
        + " (PRIME: DRM_RDWR), or read only.")
  }

  /// Whether a bracket that allows reading, or writing, is open now, on whatever thread.
  package func isCPUAccessOpen(for access: DMABufAccess) -> Bool {
    accessRecord.isOpen(for: access)
  }
}
