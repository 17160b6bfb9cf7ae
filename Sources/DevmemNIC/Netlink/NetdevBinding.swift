// SPDX-License-Identifier: Apache-2.0

public import Devmem
internal import DevmemSystem
internal import Synchronization

/// A dma-buf bound to a network device (`struct net_devmem_dmabuf_binding`, net/core/devmem.c): to
/// receive queues, or for sending.
///
/// Ends with ``close()`` or with the object: the netlink socket closes, and the kernel unbinds.
/// Memory that sockets still hold then stays theirs until they give it back; the page pool of a
/// queue goes away only after that, up to a second later.
///
/// This is the kernel's binding, another thing than `DMABufCarving`: what is bound for sending is
/// carved by one, what is bound to receive queues belongs to the network card.
///
/// All members may be called from any thread.
public final class NetdevBinding: Sendable {
  /// What the device does with the memory.
  package enum Direction: Hashable, Sendable {
    /// Writes payload that arrives on these queues (`bind-rx`).
    case receive(queues: [UInt32])
    /// Reads what is sent (`bind-tx`).
    case transmit
  }

  /// The kernel's number for the binding (`dmabuf id`), >= 1: what `queue-get`, `page-pool-get` and
  /// the control messages of packets show. Numbers are used again after 2^32
  /// bindings.
  public let id: UInt32
  /// The network device.
  public let interface: NetworkInterface
  /// What the device does with the memory.
  package let direction: Direction
  /// The memory; kept alive by this object.
  public let buffer: DMABuf

  /// nil once closed.
  private let family: Mutex<NetdevFamily?>
  /// What keeps the bytes from being handed out a second time; nil for sending and once closed. Who
  /// still holds fragments shares it.
  private let claim: Mutex<BoundMemory?>

  /// Binds a buffer to receive queues (`bind-rx`): from now on the card writes the payload that
  /// arrives on them into the buffer. Needs CAP_NET_ADMIN.
  ///
  /// - Parameters:
  ///   - buffer: a dma-buf whose memory is bound to no other queues and carved by no
  ///     `DMABufCarving`, and of which nobody holds fragments of a binding that was closed: the
  ///     kernel would take it, and the same bytes would then be handed out twice.
  ///   - interface: one with header/data split on and its threshold at 0.
  ///   - queues: numbers of receive queues, at least one.
  ///   - rxPageByteCount: bytes of one receive buffer, a power of two from the page size on; nil is
  ///     the page size.
  /// - Throws: ``/Devmem/DevmemError``: `.memoryInUse`, `.interfaceMissing`,
  ///   `.receiveUnsupported`, `.permissionDenied`, `.queueMissing`, `.queueBound`, `.queueInUse`,
  ///   `.headerSplitDisabled`, `.headerSplitThreshold`, `.xdpAttached`, `.pageSizeUnsupported`,
  ///   `.bufferMisaligned`, `.notADMABuf`, `.poolRefused`, `.kernelUnsupported`. Nothing is bound
  ///   then.
  public static func receive(
    _ buffer: DMABuf, interface: NetworkInterface, queues: [UInt32], rxPageByteCount: Int? = nil
  ) throws(DevmemError) -> NetdevBinding {
    let claim: BoundMemory
    do {
      claim = BoundMemory(try MemoryRegistry.claim(for: buffer))
    } catch {
      throw DevmemError(
        .memoryInUse, error.operation, interface: interface, remedy: error.remedy)
    }
    var family = try NetdevFamily()
    let id = try buffer.withDescriptor { descriptor throws(DevmemError) in
      try family.bindReceive(
        descriptor, interface: interface, queues: queues, pageByteCount: rxPageByteCount)
    }
    return NetdevBinding(
      id: id, interface: interface, direction: .receive(queues: queues), buffer: buffer,
      family: family, claim: claim)
  }

  /// Binds a buffer for sending (`bind-tx`, Linux 6.16): the card can read what a
  /// `DevmemSender` sends out of it. Needs no privilege.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.interfaceMissing`, `.transmitUnsupported`,
  ///   `.notADMABuf`, `.bufferMisaligned`, `.kernelUnsupported`. Nothing is bound then.
  public static func transmit(
    _ buffer: DMABuf, interface: NetworkInterface
  ) throws(DevmemError) -> NetdevBinding {
    var family = try NetdevFamily()
    let id = try buffer.withDescriptor { descriptor throws(DevmemError) in
      try family.bindTransmit(descriptor, interface: interface)
    }
    return NetdevBinding(
      id: id, interface: interface, direction: .transmit, buffer: buffer, family: family,
      claim: nil)
  }

  private init(
    id: UInt32, interface: NetworkInterface, direction: Direction, buffer: DMABuf,
    family: consuming NetdevFamily, claim: BoundMemory?
  ) {
    self.id = id
    self.interface = interface
    self.direction = direction
    self.buffer = buffer
    self.family = Mutex(family)
    self.claim = Mutex(claim)
  }

  /// The claim on the bytes, for who gives fragments of them out; nil once closed.
  package var boundMemory: BoundMemory? { claim.withLock { $0 } }

  /// Unbinds now; a second call does nothing.
  public func close() {
    family.withLock { $0 = nil }
    claim.withLock { $0 = nil }
  }
}

/// The claim on the bytes that a network device writes to: held by the binding, and by the
/// fragments that outlive it.
package final class BoundMemory: Sendable {
  private let claim: MemoryClaim

  /// Takes a claim over.
  package init(_ claim: consuming MemoryClaim) { self.claim = claim }
}
