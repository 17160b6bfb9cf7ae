// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemNIC
internal import DevmemSystem

extension DevmemError {
  /// A card's queue that does not take memory for zero-copy receive (`IORING_REGISTER_ZCRX_IFQ`;
  /// `netif_mp_open_rxq`, net/core/netdev_rx_queue.c): the errnos of bind-rx without its words, so
  /// that the card is asked which of their meanings it is.
  static func registeringQueue(
    _ errno: Errno, _ queue: UInt32, _ interface: NetworkInterface, _ bufferByteCount: Int
  ) -> DevmemError {
    let (code, remedy) = meaning(of: errno, queue, interface, bufferByteCount)
    return DevmemError(
      code, "giving queue \(queue) of \(interface) memory for zero-copy receive",
      interface: interface.name, underlying: errno, remedy: remedy)
  }

  private static func meaning(
    of errno: Errno, _ queue: UInt32, _ interface: NetworkInterface, _ bufferByteCount: Int
  ) -> (Code, String?) {
    let setup =
      "make a NICSetup before, or use "
      + SystemProcess.asRoot("devmemctl netdev setup \(interface)")
    let pageSize = PageSize.base4K.byteCount
    switch errno {
    case .EPERM, .EACCES:
      return (.permissionDenied, "Run as root, with sudo (CAP_NET_ADMIN).")
    case .ENODEV: return (.interfaceMissing, "The interfaces here: ip -br link")
    case .ERANGE where bufferByteCount != pageSize && has(queue, interface):
      return (
        .bufferMisaligned,
        "Receive buffers of \(bufferByteCount) bytes have to be contiguous: make the dma-buf of"
          + " huge pages (DMABuf.udmabuf(byteCount:pageSize: .huge2M))."
      )
    case .ERANGE: return (.queueMissing, "The queues of the interface: ethtool -l \(interface)")
    case .EEXIST:
      return isBound(queue, interface)
        ? (.queueBound, "Who has bound what: devmemctl netdev list \(interface)")
        : (
          .xdpAttached,
          "Detach it: " + SystemProcess.asRoot("ip link set dev \(interface) xdp off")
        )
    case .EBUSY:
      return (
        .queueInUse,
        "Close the AF_XDP socket on the queue, or choose another one: ss -l --xdp"
      )
    case .EINVAL, .EOPNOTSUPP:
      let rings = try? headerSplit(interface)
      if let rings, rings.dataSplit != .enabled {
        return (.headerSplitDisabled, "Switch it on: \(setup)")
      }
      if let rings, rings.headerSplitThreshold ?? 0 != 0 {
        return (.headerSplitThreshold, "Set it to 0: \(setup)")
      }
      if bufferByteCount != pageSize {
        return (
          .pageSizeUnsupported,
          "The card does not take buffers of \(bufferByteCount): use \(pageSize)."
        )
      }
      return errno == .EINVAL
        ? (
          .invalidArgument,
          "Of the queues of \(interface) this may be none: ethtool -l \(interface)"
        )
        : (
          .receiveUnsupported,
          "The driver of \(interface) does not manage queues one by one (netdev_queue_mgmt_ops):"
            + " receive without a card (.anySocket), or use provided buffers."
        )
    default: return (.systemCall, nil)
    }
  }

  private static func headerSplit(
    _ interface: NetworkInterface
  ) throws(DevmemError) -> RingSettings {
    var family = try EthtoolFamily()
    return try family.rings(of: interface)
  }

  private static func has(_ queue: UInt32, _ interface: NetworkInterface) -> Bool {
    var family = try? NetdevFamily()
    return (try? family?.queue(.receive, queue, of: interface)) != nil
  }

  private static func isBound(_ queue: UInt32, _ interface: NetworkInterface) -> Bool {
    var family = try? NetdevFamily()
    let found = try? family?.queue(.receive, queue, of: interface)
    return found.map { $0.dmabufID != nil || $0.isOnIOUring } ?? true
  }
}
