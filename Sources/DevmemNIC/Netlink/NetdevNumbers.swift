// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

// The numbers of the netdev family, as include/uapi/linux/netdev.h of Linux 7.3 has them
// (Documentation/netlink/specs/netdev.yaml). Debian 12's headers have no such file.

/// NETDEV_CMD_*
enum NetdevCommand: UInt8 {
  case deviceGet = 1
  case deviceAddNotification = 2
  case deviceDeleteNotification = 3
  case deviceChangeNotification = 4
  case pagePoolGet = 5
  case pagePoolAddNotification = 6
  case pagePoolDeleteNotification = 7
  case pagePoolChangeNotification = 8
  case pagePoolStatisticsGet = 9
  case queueGet = 10
  case napiGet = 11
  case queueStatisticsGet = 12
  case bindReceive = 13
  case bindTransmit = 15

  /// What the kernel's specification calls it.
  var name: String {
    switch self {
    case .deviceGet: "dev-get"
    case .deviceAddNotification: "dev-add-ntf"
    case .deviceDeleteNotification: "dev-del-ntf"
    case .deviceChangeNotification: "dev-change-ntf"
    case .pagePoolGet: "page-pool-get"
    case .pagePoolAddNotification: "page-pool-add-ntf"
    case .pagePoolDeleteNotification: "page-pool-del-ntf"
    case .pagePoolChangeNotification: "page-pool-change-ntf"
    case .pagePoolStatisticsGet: "page-pool-stats-get"
    case .queueGet: "queue-get"
    case .napiGet: "napi-get"
    case .queueStatisticsGet: "qstats-get"
    case .bindReceive: "bind-rx"
    case .bindTransmit: "bind-tx"
    }
  }
}

/// NETDEV_A_DEV_*
enum NetdevDeviceAttribute: UInt16, NetlinkAttributeName {
  case interfaceIndex = 1
  case xdpFeatures = 3
  case xdpZerocopyMaximumSegments = 4
  case xdpReceiveMetadataFeatures = 5
  case xskFeatures = 6
}

/// NETDEV_A_DMABUF_*
enum NetdevDMABufAttribute: UInt16, NetlinkAttributeName {
  case interfaceIndex = 1
  case queues = 2
  case descriptor = 3
  case id = 4
  case receivePageByteCount = 5
}

/// NETDEV_A_QUEUE_*
enum NetdevQueueAttribute: UInt16, NetlinkAttributeName {
  case id = 1
  case interfaceIndex = 2
  case type = 3
  case napiID = 4
  case dmabuf = 5
  case ioUring = 6
  case xsk = 7
  case lease = 8
}

/// NETDEV_A_PAGE_POOL_*
enum NetdevPagePoolAttribute: UInt16, NetlinkAttributeName {
  case id = 1
  case interfaceIndex = 2
  case napiID = 3
  case inFlight = 4
  case inFlightMemory = 5
  case detachTime = 6
  case dmabuf = 7
  case ioUring = 8
}

/// NETDEV_A_PAGE_POOL_STATS_*
enum NetdevPagePoolStatisticsAttribute: UInt16, NetlinkAttributeName {
  case info = 1
  case allocFast = 8
  case allocSlow = 9
  case allocSlowHighOrder = 10
  case allocEmpty = 11
  case allocRefill = 12
  case allocWaive = 13
  case recycleCached = 14
  case recycleCacheFull = 15
  case recycleRing = 16
  case recycleRingFull = 17
  case recycleReleasedRefcnt = 18
}

/// NETDEV_A_NAPI_*
enum NetdevNAPIAttribute: UInt16, NetlinkAttributeName {
  case interfaceIndex = 1
  case id = 2
  case interrupt = 3
  case processID = 4
  case deferHardInterrupts = 5
  case groFlushTimeout = 6
  case interruptSuspendTimeout = 7
  case threaded = 8
}

/// NETDEV_A_QSTATS_*
enum NetdevQueueStatisticsAttribute: UInt16, NetlinkAttributeName {
  case interfaceIndex = 1
  case queueType = 2
  case queueID = 3
  case scope = 4
  case receivePackets = 8
  case receiveBytes = 9
  case transmitPackets = 10
  case transmitBytes = 11
  case receiveAllocationFailures = 12
  case receiveHardwareDrops = 13
}
