// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

extension NetdevFamily {
  /// Binds a dma-buf to receive queues (`bind-rx`, `NETDEV_CMD_BIND_RX`): from now on the network
  /// card writes the payload that arrives there into the dma-buf. Ends with this value: the kernel
  /// unbinds when the socket closes.
  ///
  /// All the queues are bound, or none.
  ///
  /// - Parameters:
  ///   - descriptor: of a dma-buf; the kernel keeps what it needs, the descriptor may be closed.
  ///   - interface: one with header/data split on and its threshold at 0.
  ///   - queues: numbers of receive queues, at least one.
  ///   - pageByteCount: bytes of one receive buffer: a power of two from the page size on; nil is
  ///     the page size. Larger ones need a driver that takes them and a buffer of such runs.
  /// - Returns: the kernel's number for the binding, >= 1.
  /// - Throws: ``DevmemError/Code/interfaceMissing``, ``DevmemError/Code/receiveUnsupported``,
  ///   ``DevmemError/Code/permissionDenied``, ``DevmemError/Code/queueMissing``,
  ///   ``DevmemError/Code/queueBound``, ``DevmemError/Code/queueInUse``,
  ///   ``DevmemError/Code/headerSplitDisabled``, ``DevmemError/Code/headerSplitThreshold``,
  ///   ``DevmemError/Code/xdpAttached``, ``DevmemError/Code/pageSizeUnsupported``,
  ///   ``DevmemError/Code/bufferMisaligned``, ``DevmemError/Code/notADMABuf``,
  ///   ``DevmemError/Code/poolRefused``, ``DevmemError/Code/kernelUnsupported``.
  package mutating func bindReceive(
    _ descriptor: Int32, interface: NetworkInterface, queues: [UInt32], pageByteCount: Int? = nil
  ) throws(DevmemError) -> UInt32 {
    let operation = Self.bindReceiveOperation(interface, queues)
    guard !queues.isEmpty else {
      throw DevmemError(
        .invalidArgument, operation, interface: interface, remedy: "Name at least one queue.")
    }
    guard has(.bindReceive) else {
      throw .commandMissing(NetdevCommand.bindReceive.name, operation, interface: interface)
    }
    var request = family.request(NetdevCommand.bindReceive)
    request.append(NetdevDMABufAttribute.interfaceIndex, uint32: interface.index)
    request.append(NetdevDMABufAttribute.descriptor, uint32: UInt32(bitPattern: descriptor))
    for queue in queues {
      request.append(NetdevDMABufAttribute.queues) { nest in
        nest.append(NetdevQueueAttribute.id, uint32: queue)
        // NETDEV_QUEUE_TYPE_RX
        nest.append(NetdevQueueAttribute.type, uint32: 0)
      }
    }
    if let pageByteCount {
      request.append(
        NetdevDMABufAttribute.receivePageByteCount, uint32: UInt32(clamping: max(pageByteCount, 0)))
    }
    return try bind(request, operation, interface) {
      .bindingReceive($0, interface: interface, operation: operation, request: request)
    }
  }

  /// Binds a dma-buf for sending (`bind-tx`, `NETDEV_CMD_BIND_TX`): sockets whose traffic leaves by
  /// the interface may then send from it. Needs no privilege. Ends with this value.
  ///
  /// - Parameters:
  ///   - descriptor: of a dma-buf; the kernel keeps what it needs, the descriptor may be closed.
  ///   - interface: one whose driver sends from device memory.
  /// - Returns: the kernel's number for the binding, >= 1.
  /// - Throws: ``DevmemError/Code/interfaceMissing``, ``DevmemError/Code/transmitUnsupported``,
  ///   ``DevmemError/Code/notADMABuf``, ``DevmemError/Code/bufferMisaligned``,
  ///   ``DevmemError/Code/kernelUnsupported``.
  package mutating func bindTransmit(
    _ descriptor: Int32, interface: NetworkInterface
  ) throws(DevmemError) -> UInt32 {
    let operation = "binding a dma-buf for sending by \(interface)"
    guard has(.bindTransmit) else {
      throw .commandMissing(NetdevCommand.bindTransmit.name, operation, interface: interface)
    }
    var request = family.request(NetdevCommand.bindTransmit)
    request.append(NetdevDMABufAttribute.interfaceIndex, uint32: interface.index)
    request.append(NetdevDMABufAttribute.descriptor, uint32: UInt32(bitPattern: descriptor))
    return try bind(request, operation, interface) {
      .bindingTransmit($0, interface: interface, operation: operation)
    }
  }

  private mutating func bind(
    _ request: NetlinkRequest, _ operation: String, _ interface: NetworkInterface,
    _ translate: (NetlinkFailure) -> DevmemError
  ) throws(DevmemError) -> UInt32 {
    do throws(NetlinkFailure) {
      for reply in try socket.request(request) {
        if let id = reply.attributes[NetdevDMABufAttribute.id]?.uint32 { return id }
      }
    } catch {
      throw translate(error)
    }
    throw DevmemError(
      .systemCall, operation, interface: interface, underlying: .EIO,
      cause: "the answer has no dmabuf id", remedy: nil)
  }

  static func bindReceiveOperation(_ interface: NetworkInterface, _ queues: [UInt32]) -> String {
    let list = queues.map(String.init).joined(separator: ", ")
    let noun = queues.count == 1 ? "queue" : "queues"
    return "binding a dma-buf to receive \(noun) \(list) of \(interface)"
  }
}
