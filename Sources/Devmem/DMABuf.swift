// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem
internal import DevmemPagePool
internal import Synchronization

/// A dma-buf with its two mappings (`struct dma_buf`, include/linux/dma-buf.h): a descriptor for
/// devices, and, where the CPU can read the memory, an address for the CPU.
///
/// The two mappings of a udmabuf are the dma-buf and the memory file beneath it. CPU addresses come
/// from the memory file: since Linux 6.11 the dma-buf's own mapping is refused with EFAULT by
/// MSG_ZEROCOPY, AF_XDP, io_uring and all else that pins pages. Never punch holes into the memory
/// file: no seal forbids it, and the two mappings then differ for good.
///
/// Makers: ``udmabuf(byteCount:pageSize:node:name:)``, ``udmabufs(byteCount:pageSize:node:name:)``,
/// ``udmabuf(scattering:name:)``, ``dmaHeap(named:byteCount:)``, ``drmDumb(byteCount:card:)``,
/// ``imported(_:)``, ``memoryFile(byteCount:pageSize:node:name:)``. None falls back to another.
///
/// All members may be called from any thread. Nothing here orders the accesses of several threads,
/// processes or devices to the bytes: that is up to the program.
public final class DMABuf: Sendable {
  /// Who made the buffer.
  public enum Exporter: Hashable, Sendable {
    /// /dev/udmabuf, in this process.
    case udmabuf
    /// The dma-buf heap of that name, in this process.
    case dmaHeap(String)
    /// A dumb buffer of the DRM driver of that name, in this process.
    case drm(driver: String)
    /// Somebody else; the exporter's name as /proc/self/fdinfo gives it.
    case imported(exporterName: String)
    /// Nobody: a memory file without a dma-buf.
    case memoryFile
  }

  /// Bytes, > 0, a multiple of the base page size.
  public let byteCount: Int
  /// Who made the buffer.
  public let exporter: Exporter
  /// What names the dma-buf as long as it lives, in every process; for a bare memory file, the
  /// file.
  package let identity: FileIdentity
  /// The name given by the maker; for an imported buffer the one it came with.
  public let name: String?
  /// The pages beneath, where they are known.
  public let pageSize: PageSize?
  /// The NUMA node that was asked for.
  package let requestedNode: Int?
  /// How the CPU reaches the bytes; nil when it cannot.
  ///
  /// Devices may be using the memory: read and write inside ``withCPUAccess(_:_:)``. System calls
  /// that pin pages want an address from here with ``CPUMapping/Source/memoryFile``.
  public let cpuMapping: CPUMapping?

  /// Memory-file ranges beneath, in dma-buf order; empty where they are not known.
  let memoryRanges: [MemoryRange]
  /// Open CPU access brackets, at a fixed address.
  let accessRecord = CPUAccessRecord()
  /// Computed at the first question.
  let cachedExtents = Mutex<[DMABufExtent]?>(nil)

  private let descriptor: DMABufDescriptor?
  /// The number of `descriptor`, or of the memory file where there is none.
  private let descriptorNumber: Int32
  private let memoryFile: MemoryFile?

  /// The inode number of the dma-buf, or of the memory file where there is no dma-buf: what
  /// /proc/self/fdinfo and debugfs show of it.
  public var inode: UInt64 { identity.inode }

  /// Whether there is a dma-buf: false only for ``memoryFile(byteCount:pageSize:node:name:)`` and
  /// ``importedMemoryFile(_:)``.
  public var isExported: Bool { exporter != .memoryFile }

  /// Assembles what a maker has made. The descriptor is a dma-buf's; without one, `memoryFile` is
  /// what other processes get.
  init(
    exporter: Exporter, byteCount: Int, identity: FileIdentity, name: String?,
    pageSize: PageSize?, requestedNode: Int?, descriptor: consuming DMABufDescriptor?,
    memoryFile: MemoryFile?, memoryRanges: [MemoryRange], mapping: consuming MemoryMapping?,
    mappingSource: CPUMapping.Source, isMappingWritable: Bool = true
  ) {
    self.exporter = exporter
    self.byteCount = byteCount
    self.identity = identity
    self.name = name
    self.pageSize = pageSize
    self.requestedNode = requestedNode
    self.memoryFile = memoryFile
    self.memoryRanges = memoryRanges
    if let mapping {
      self.cpuMapping = CPUMapping(
        SharedMapping(mapping), source: mappingSource, isWritable: isMappingWritable)
    } else {
      self.cpuMapping = nil
    }
    if let descriptor {
      self.descriptorNumber = descriptor.rawValue
      self.descriptor = consume descriptor
    } else {
      guard let memoryFile else { preconditionFailure("a buffer has a descriptor") }
      self.descriptorNumber = memoryFile.descriptor.rawValue
      self.descriptor = nil
    }
    if hasNote {
      MemoryRegistry.note(identity, over: memoryRanges)
    } else {
      // It may be one that was made here.
      MemoryRegistry.keep(identity)
    }
  }

  deinit {
    if hasNote { MemoryRegistry.forget(identity) }
  }

  /// Whether the registry has to know what lies beneath: a dma-buf over memory files of this
  /// process.
  private var hasNote: Bool { isExported && !memoryRanges.isEmpty }

  /// The descriptor leaves; whatever comes back by it lies over the same memory.
  private func letOut() {
    if hasNote { MemoryRegistry.keep(identity) }
  }

  /// Lends the descriptor's number: the dma-buf's, or the memory file's where there is no dma-buf.
  ///
  /// The number is valid during the call. Whoever keeps it has to duplicate it.
  public func withDescriptor<Result: ~Copyable, Failure: Error>(
    _ body: (Int32) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    letOut()
    return try body(descriptorNumber)
  }

  /// A second descriptor of the buffer, close-on-exec, that the caller owns.
  ///
  /// - Throws: ``DevmemError/Code/descriptorLimit``.
  public func duplicateDescriptor() throws(DevmemError) -> OwnedFileDescriptor {
    letOut()
    return try DevmemError.wrapping({ .step("duplicating a dma-buf's descriptor", $0) }) {
      () throws(Errno) in
      // One of the two is there: see init.
      if descriptor != nil { return try descriptor!.duplicate().takeDescriptor() }
      return try memoryFile!.descriptor.duplicate()
    }
  }

  /// The descriptor of the memory file beneath, where there is exactly one and this process has it.
  ///
  /// Writing through it, or mapping it, is as good as through ``cpuMapping``. Never punch holes.
  package var memoryFileDescriptor: Int32? { memoryFile?.descriptor.rawValue }

  /// Sends the descriptor to another process (SCM_RIGHTS), which makes a buffer of it with
  /// ``imported(_:)`` (or ``importedMemoryFile(_:)`` where `isExported` is false).
  ///
  /// - Parameters:
  ///   - socket: connected to the other process.
  ///   - message: bytes that go along, at least one.
  /// - Throws: ``DevmemError/Code/peerClosed``, ``DevmemError/Code/systemCall``.
  public func sendDescriptor(
    over socket: UnixSocket, message: [UInt8] = [0]
  ) throws(DevmemError) {
    precondition(!message.isEmpty, "a descriptor travels with at least one byte")
    let number = descriptorNumber
    letOut()
    try DevmemError.wrapping({ .step("sending a dma-buf's descriptor", $0) }) {
      () throws(Errno) in
      // A stream may take fewer bytes; the descriptor goes with the first.
      var sent = try socket.send(message, descriptors: [number])
      while sent < message.count { sent += try socket.send(Array(message[sent...])) }
    }
  }

  /// Announces CPU access to the whole dma-buf; nothing to announce without one.
  func beginSync(_ access: DMABufAccess) throws(Errno) {
    if descriptor != nil { try descriptor!.beginCPUAccess(access) }
  }

  /// Ends what ``beginSync(_:)`` began.
  func endSync(_ access: DMABufAccess) throws(Errno) {
    if descriptor != nil { try descriptor!.endCPUAccess(access) }
  }

  /// Runs a question that needs the dma-buf's descriptor; nil where there is no dma-buf.
  func withDMABuf<Result>(
    _ body: (borrowing DMABufDescriptor) throws(Errno) -> Result
  ) throws(Errno) -> Result? {
    guard descriptor != nil else { return nil }
    return try body(descriptor!)
  }
}

extension DMABuf.Exporter: CustomStringConvertible {
  /// "udmabuf", "heap system", "drm vgem", "imported udmabuf", "memory-file".
  public var description: String {
    switch self {
    case .udmabuf: "udmabuf"
    case .dmaHeap(let name): "heap \(name)"
    case .drm(let driver): "drm \(driver)"
    case .imported(let exporterName): "imported \(exporterName)"
    case .memoryFile: "memory-file"
    }
  }
}
