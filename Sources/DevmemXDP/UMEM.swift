// SPDX-License-Identifier: Apache-2.0

internal import CXDPShims
package import Devmem
internal import DevmemSystem
internal import Synchronization

/// Memory that packets of AF_XDP sockets lie in (`struct xdp_umem`): the CPU mapping of a dma-buf,
/// or a part of it, pinned by the kernel as long as this or a socket on it lives.
///
/// Cut into chunks, each of which has at most one packet. A buffer of a page pool over the same
/// dma-buf is lent to a socket as the chunk that it begins at.
///
/// Several sockets, on one queue or many, may share it, each on a thread of its own.
///
/// Thread rules: any.
@safe
package final class UMEM: @unchecked Sendable {
  /// What the kernel has in front of a received packet (`XDP_PACKET_HEADROOM`), bytes.
  package static var headroom: Int { 256 }

  /// How it is cut, and its rings.
  package struct Configuration: Hashable, Sendable {
    /// Bytes of a chunk: 2048, or more, up to the base page; a power of two.
    package var chunkByteCount: Int
    /// Chunks that the kernel may have for receiving at once, a power of two, 2 to 32768.
    package var fillCount: Int
    /// Sent packets that may wait to be taken back, a power of two, 2 to 32768.
    package var completionCount: Int

    /// A configuration.
    package init(chunkByteCount: Int = 4096, fillCount: Int = 2048, completionCount: Int = 2048) {
      self.chunkByteCount = chunkByteCount
      self.fillCount = fillCount
      self.completionCount = completionCount
    }
  }

  // SAFETY: made by init, freed in deinit, opened and closed sockets on only under the lock.
  let memory: OpaquePointer
  private let lock = Mutex(())
  private let mapping: DMABuf.CPUMapping
  /// Where the memory begins in the dma-buf, bytes.
  package let offset: Int
  /// How much it is, bytes.
  package let byteCount: Int
  /// How it is cut.
  package let configuration: Configuration
  let chunkShift: Int

  deinit {
    // No socket is left: each keeps this.
    let result = unsafe cxdp_memory_close(memory)
    precondition(result == 0, "a socket outlived its memory")
  }

  /// Registers a buffer's memory.
  /// - Parameters:
  ///   - buffer: of which the CPU mapping is a writable one of its memory file.
  ///   - range: which bytes of it, at multiples of the base page; nil = all.
  ///   - configuration: how it is cut.
  /// - Throws: ``XDPError``: `.notPinnable`, `.invalidConfiguration`, `.memoryLimit`,
  ///   `.permissionDenied`, `.kernelUnsupported`.
  package init(
    _ buffer: DMABuf, range: Range<Int>? = nil, configuration: Configuration = Configuration()
  ) throws(XDPError) {
    let page = SystemProcess.pageByteCount
    guard let mapping = buffer.cpuMapping, mapping.isWritable else {
      throw XDPError(
        .notPinnable, "registering memory with AF_XDP",
        remedy: "The buffer has no CPU mapping that may be written: give it one.")
    }
    let range = range ?? 0..<buffer.byteCount
    guard
      range.lowerBound >= 0, range.upperBound <= buffer.byteCount, !range.isEmpty,
      range.lowerBound % page == 0, range.count % page == 0
    else {
      throw XDPError(
        .invalidConfiguration, "bytes \(range) of a buffer of \(buffer.byteCount)",
        remedy: "Use a part of the buffer at multiples of \(page) bytes.")
    }
    try XDPError.checkPowerOfTwo("chunkByteCount", configuration.chunkByteCount, in: 2048...page)
    try XDPError.checkPowerOfTwo("fillCount", configuration.fillCount, in: 2...1 << 15)
    try XDPError.checkPowerOfTwo("completionCount", configuration.completionCount, in: 2...1 << 15)
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: mapping.bytes[range])
    do throws(Errno) {
      unsafe memory = try xdp_memoryOpen(
        bytes, chunkByteCount: configuration.chunkByteCount, isUnaligned: false,
        XDPRingCounts(fill: configuration.fillCount, completion: configuration.completionCount))
    } catch {
      throw .registering(error, byteCount: range.count)
    }
    self.mapping = mapping
    self.configuration = configuration
    offset = range.lowerBound
    byteCount = range.count
    chunkShift = configuration.chunkByteCount.trailingZeroBitCount
  }

  var chunkCount: Int { byteCount >> chunkShift }

  var baseAddress: UnsafeMutableRawPointer { unsafe mapping.baseAddress + offset }

  /// libxdp counts sockets and queues without a lock of its own.
  func withLock(_ body: (OpaquePointer) -> Void) {
    lock.withLock { _ in unsafe body(memory) }
  }

  /// The same for opening one.
  func opening<Made>(_ body: (OpaquePointer) throws(Errno) -> Made) throws(Errno) -> Made {
    var made: Result<Made, Errno>?
    unsafe withLock { memory in
      do throws(Errno) {
        made = .success(try unsafe body(memory))
      } catch {
        made = .failure(error)
      }
    }
    guard let made else { fatalError("a lock that ran nothing") }
    return try made.get()
  }
}
