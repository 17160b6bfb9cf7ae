// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// Why something above the system calls failed: a stable code to act on, the kernel's errno and the
/// words of who refused where there were any, what was being done, on which network interface, and
/// the way out.
///
/// One type for every module: memory, network devices and sockets.
public struct DevmemError: Error, Hashable, Sendable, CarriesErrno {
  /// What went wrong. The raw value is stable: it may be stored, logged and compared.
  public enum Code: String, CaseIterable, Hashable, Sendable {
    /// There is no such exporter on this machine (no device node).
    case exporterMissing
    /// The exporter is there, but it does not take what it was given.
    case exporterRefused
    /// This user may not do it.
    case permissionDenied
    /// More bytes than one dma-buf of this exporter may have.
    case sizeLimit
    /// More ranges than one dma-buf of this exporter may have.
    case listLimit
    /// Too few huge pages in the pool, or none of that size on this machine.
    case noHugePages
    /// The machine, or this process's control group, has too little memory.
    case outOfMemory
    /// Too many open files.
    case descriptorLimit
    /// A memory file's seals are not what the exporter wants, or could not be set.
    case sealRefused
    /// The same memory is carved or bound already in this process.
    case alreadyBound
    /// The ranges of one buffer overlap: two offsets would show the same bytes.
    case overlappingRanges
    /// A byte count that is 0, negative or not a multiple of the page size.
    case invalidByteCount
    /// An offset that is negative, not a multiple of the page size, or past the end.
    case invalidOffset
    /// A name that is too long or holds a character that it may not.
    case invalidName
    /// An IOV size that is not a power of two from 4 KiB to 2 MiB.
    case invalidIOVByteCount
    /// No contiguous run of the buffer is long enough for one IOV, or there are too many IOVs.
    case cannotCarve
    /// There is no such NUMA node, or this process may not use it.
    case noSuchNode
    /// There is no such processor, or this process may not use it.
    case noSuchProcessor
    /// Too many threads.
    case threadLimit
    /// The descriptor is not a dma-buf.
    case notADMABuf
    /// The CPU cannot read or write this memory.
    case unreadable
    /// The other end of a socket has gone.
    case peerClosed
    /// The process at the other end of a socket says why it failed: see `cause`.
    case peerFailed
    /// A message of the process at the other end of a socket makes no sense.
    case peerConfused
    /// A number of a configuration is out of its range.
    case invalidConfiguration

    // Network devices.

    /// There is no such network interface (any more) in this network namespace.
    case interfaceMissing
    /// This kernel does not know the netlink family, the command or device memory TCP.
    case kernelUnsupported
    /// The interface cannot receive into device memory, or not with these queues.
    case receiveUnsupported
    /// The interface cannot send from device memory.
    case transmitUnsupported
    /// There is no such receive queue.
    case queueMissing
    /// A receive queue is bound to memory already.
    case queueBound
    /// A receive queue is used by AF_XDP, or lent to another interface.
    case queueInUse
    /// Header/data split is not switched on.
    case headerSplitDisabled
    /// The header/data split threshold is not 0, so that small payloads would stay with the header.
    case headerSplitThreshold
    /// An XDP program is attached.
    case xdpAttached
    /// The interface does not take receive buffers of this size.
    case pageSizeUnsupported
    /// A contiguous run of the buffer is not aligned to the size of the receive buffers.
    case bufferMisaligned
    /// The buffer's memory is bound or carved already in this process, or somebody still holds
    /// parts of it.
    case memoryInUse
    /// The driver made no page pool that takes the memory.
    case poolRefused
    /// There is no such page pool (any more).
    case poolMissing
    /// The interface cannot do what was asked of its settings.
    case settingUnsupported
    /// The interface can, but refuses this value now.
    case settingRefused
    /// The table of steering rules is full.
    case rulesExhausted
    /// Memory is bound to the interface, which pins its settings.
    case stillBound
    /// Some settings could not be put back.
    case notRestored
    /// The kernel answered nothing in time, or kept changing what was being read.
    case noAnswer
    /// Notifications were lost because nobody read them.
    case notificationsLost
    /// An argument that makes no sense to the kernel.
    case invalidArgument

    // Device memory TCP.

    /// The socket is not TCP.
    case notTCP
    /// The binding is of the other direction.
    case wrongDirection
    /// The flow came into the memory of another binding than the receiver's.
    case foreignBinding
    /// The kernel's bytes lie outside of the buffer that the receiver was given: it is not the one
    /// that is bound by this id.
    case outsideBuffer
    /// The kernel described fewer bytes than it delivered: tokens are unknown.
    case controlTruncated
    /// The kernel did not know tokens that were returned.
    case tokensRefused
    /// A fragment is not of the memory that is bound for sending, or not wholly inside it.
    case foreignMemory
    /// The binding's id is not bound for sending (any more).
    case notBound
    /// The route to the peer leaves by another device than the one that the memory is bound to.
    case wrongDevice
    /// A packet of more fragments than the sender keeps in flight.
    case tooManyFragments
    /// The peer, or the path to it, has gone.
    case connectionLost

    /// A system call failed in a way that has no code of its own; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  public let code: Code
  /// The kernel's answer; nil where we refused before asking it.
  public let underlying: Errno?
  /// The words of who refused: the kernel's own (extended ack), for example "tcp-data-split is
  /// disabled", or those of a lower layer.
  public let cause: String?
  /// The name of the network interface that it was about; nil where it was about none.
  public let interface: String?
  /// What was being done, "opening /dev/udmabuf".
  public let operation: String
  /// The way out, as a command where there is one; nil where there is none.
  public let remedy: String?

  package init(
    _ code: Code, _ operation: String, interface: String? = nil, underlying: Errno? = nil,
    cause: String? = nil, remedy: String? = nil
  ) {
    self.code = code
    self.underlying = underlying
    self.cause = cause
    self.interface = interface
    self.operation = operation
    self.remedy = remedy
  }

  package var carriedErrno: Errno? { underlying }
}

extension DevmemError: CustomStringConvertible {
  /// One line: operation, code, errno, the words of who refused, and the remedy.
  public var description: String {
    line(operation, code: code.rawValue, cause: cause, remedy: remedy)
  }
}
