// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// Why something with a network device failed: a stable code to act on, the kernel's errno and words
/// where there were any, what was being done, on which interface, and the way out.
public struct DevmemNetError: Error, Hashable, Sendable, CarriesErrno {
  /// What went wrong. The raw value is stable: it may be stored, logged and compared.
  public enum Code: String, CaseIterable, Hashable, Sendable {
    /// There is no such network interface (any more) in this network namespace.
    case interfaceMissing
    /// This kernel does not know the netlink family or the command.
    case kernelUnsupported
    /// The interface cannot receive into device memory, or not with these queues.
    case receiveUnsupported
    /// The interface cannot send from device memory.
    case transmitUnsupported
    /// This user may not do it.
    case permissionDenied
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
    /// The descriptor is not a dma-buf.
    case notADMABuf
    /// The buffer's memory is bound or carved already in this process, or somebody still holds parts of it.
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
    /// No memory.
    case outOfMemory
    /// Too many open files.
    case descriptorLimit
    /// A system call failed in a way that has no code of its own; see `underlying`.
    case systemCall
  }

  /// What went wrong.
  public let code: Code
  /// The kernel's answer; nil where we refused before asking it.
  public let underlying: Errno?
  /// The kernel's own words (extended ack), for example "tcp-data-split is disabled".
  public let kernelText: String?
  /// What was being done, "binding a dma-buf to receive queues 2, 3 of eth0".
  public let operation: String
  /// On which interface; nil where it was about none.
  public let interface: NetworkInterface?
  /// The way out, as a command where there is one; nil where there is none.
  public let remedy: String?

  /// Describes a failure.
  public init(
    _ code: Code, _ operation: String, interface: NetworkInterface? = nil,
    underlying: Errno? = nil, kernelText: String? = nil, remedy: String? = nil
  ) {
    self.code = code
    self.underlying = underlying
    self.kernelText = kernelText
    self.operation = operation
    self.interface = interface
    self.remedy = remedy
  }

  package var carriedErrno: Errno? { underlying }
}

extension DevmemNetError: CustomStringConvertible {
  /// One line: operation, code, errno, the kernel's words and the remedy.
  public var description: String {
    line(operation, code: code.rawValue, kernelText: kernelText, remedy: remedy)
  }
}
