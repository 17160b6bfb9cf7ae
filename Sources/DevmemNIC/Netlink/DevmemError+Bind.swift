// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

// What the refusals of bind-rx and bind-tx mean. The errnos are few and stand for many things;
// which one it is says the attribute that the kernel points at, or else its words
// (net/core/netdev-genl.c, net/core/devmem.c, net/core/netdev_rx_queue.c of Linux 7.3).
extension DevmemError {
  /// bind-rx
  static func bindingReceive(
    _ failure: NetlinkFailure, interface: NetworkInterface, operation: String,
    request: NetlinkRequest
  ) -> DevmemError {
    let path = failure.badAttributeOffset.map(request.path(to:)) ?? []
    let culprit = path.first.flatMap(NetdevDMABufAttribute.init(rawValue:))
    let words = failure.text ?? ""
    func error(_ code: Code, _ remedy: String) -> DevmemError {
      DevmemError(
        code, operation, interface: interface, underlying: failure.errno, cause: failure.text,
        remedy: remedy)
    }
    let pageSize =
      "The size of receive buffers is a power of two from the page size on, and needs a driver that"
      + " takes it (rx-page-size, Linux 7.1); leave it out for the page size."
    let queues = "The queues of the interface: ethtool -l \(interface)"
    switch failure.errno {
    case .EOPNOTSUPP where words.contains("page_size"), .E2BIG:
      return error(.pageSizeUnsupported, pageSize)
    case .EOPNOTSUPP where words.contains("DMA device mismatch"):
      return error(
        .receiveUnsupported, "These queues do DMA through different devices: bind them one by one.")
    case .EOPNOTSUPP:
      return error(.receiveUnsupported, receiveUnsupportedRemedy(interface))
    case .ERANGE where culprit == .receivePageByteCount,
      .EINVAL where culprit == .receivePageByteCount:
      return error(.pageSizeUnsupported, pageSize)
    case .ERANGE: return error(.queueMissing, queues)
    case .EINVAL where culprit == .queues: return error(.queueMissing, queues)
    case .EINVAL where words.contains("tcp-data-split"):
      return error(
        .headerSplitDisabled, "Switch it on: \(setupRemedy(interface))")
    case .EINVAL where words.contains("hds-thresh"):
      return error(
        .headerSplitThreshold, "Set it to 0: \(setupRemedy(interface))")
    case .EINVAL where words.contains("not aligned"):
      return error(
        .bufferMisaligned,
        "Every contiguous run of the buffer has to be a multiple of the receive buffers' size: "
          + "make it"
          + " of huge pages (DMABuf.udmabuf(byteCount:pageSize: .huge2M)), or bind with smaller "
          + "ones."
      )
    case .EINVAL where words.isEmpty && culprit == nil, .EBADF, .ENOTTY:
      return error(.notADMABuf, notADMABufRemedy)
    case .EEXIST where words.contains("XDP"):
      return error(
        .xdpAttached,
        "Detach it: " + SystemProcess.asRoot("ip link set dev \(interface) xdp off"))
    case .EEXIST:
      return error(.queueBound, "Who has bound what: devmemctl netdev pools")
    case .EBUSY:
      return error(
        .queueInUse, "Close the AF_XDP socket on the queue, or choose another one: ss -l --xdp")
    case .ENODATA:
      return error(
        .poolRefused,
        "The driver of \(interface) made no page pool for device memory on that queue. "
          + "\(capableDevices)"
      )
    case .EINVAL: return error(.invalidArgument, "The kernel's words say which argument.")
    default: return step(operation, interface: interface, failure)
    }
  }

  /// bind-tx
  static func bindingTransmit(
    _ failure: NetlinkFailure, interface: NetworkInterface, operation: String
  ) -> DevmemError {
    func error(_ code: Code, _ remedy: String) -> DevmemError {
      DevmemError(
        code, operation, interface: interface, underlying: failure.errno, cause: failure.text,
        remedy: remedy)
    }
    let words = failure.text ?? ""
    switch failure.errno {
    case .EOPNOTSUPP:
      return error(
        .transmitUnsupported,
        "The driver of \(interface) does not send from device memory (netmem_tx). \(capableDevices)"
      )
    case .EINVAL where words.contains("aligned") || words.contains("multiple"):
      return error(.bufferMisaligned, "The buffer's runs have to be whole pages.")
    case .EINVAL where words.isEmpty, .EBADF, .ENOTTY:
      return error(.notADMABuf, notADMABufRemedy)
    case .EINVAL: return error(.invalidArgument, "The kernel's words say which argument.")
    default: return step(operation, interface: interface, failure)
    }
  }

  /// An interface whose driver cannot bind receive queues.
  static func receiveUnsupportedRemedy(_ interface: NetworkInterface) -> String {
    "The driver of \(interface) does not manage queues one by one (netdev_queue_mgmt_ops), or the"
      + " kernel was built without CONFIG_NET_DEVMEM. \(capableDevices)"
  }

  /// Not ethtool: that of Debian 12 does not know `tcp-data-split`, nor that of Debian 13
  /// `hds-thresh`.
  private static func setupRemedy(_ interface: NetworkInterface) -> String {
    "make a NICSetup before, or use "
      + SystemProcess.asRoot("devmemctl netdev setup \(interface)")
  }

  private static let notADMABufRemedy =
    "Bind a real dma-buf: DMABuf.udmabuf, .dmaHeap, .drmDumb or an imported one."
}
