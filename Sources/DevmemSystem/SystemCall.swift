// SPDX-License-Identifier: Apache-2.0

/// Every call into the kernel (or into libdrm, libmnl and libnuma) that this module makes, one case
/// per `system_*` function: what the test seam counts and forces by name.
package enum SystemCall: String, CaseIterable, Hashable, Sendable {
  // Files
  case open, close, duplicate, identity, byteCount, read, readAt, directory
  case makeFolder, createFile, replaceFile, removeFile, lockByte, unlockByte, isByteLocked
  case awaitByte
  // Memory files
  case memoryFileCreate, memoryFileResize, memoryFileAddSeals, memoryFileSeals, memoryFilePageSize
  // Mappings
  case mapFile, mapAnonymous, reserve, unmap, populate, readThroughPages
  // Exporters and dma-bufs
  case udmabufCreate, udmabufCreateList
  case dmabufSync, dmabufSetName, dmabufExportSyncFile, dmabufImportSyncFile
  case syncFileStatus
  case dmaHeapAllocate
  case drmDriverName, drmCreateDumb, drmDumbMapOffset, drmCloseHandle
  case drmExportHandle, drmImportHandle
  // NUMA
  case numaMemory, numaBind, numaNodeOf, numaProcessors
  // Threads
  case threadStart, threadRelease, processProcessors
  // Sockets
  case unixPair, unixListen, unixConnect, unixAccept, unixPeer, unixSend, unixReceive
  case resolve, tcpBeginConnect, tcpConnectResult
  case tcpListen, tcpConnect, tcpAccept, tcpSetOption, tcpFinishSending, tcpEndConnection, tcpSend
  case tcpReceive, tcpReadCompletion, wait, setBlocking
  case epollCreate, epollAdd, epollRemove, epollWait
  case devmemReceive, devmemReturnTokens, devmemSend
  case xdpOpen, xdpRegisterMemory
  // AF_XDP over libxdp
  case xdpSocketOpen, xdpSocketBind, xdpKick, xdpOptions, xdpStatistics
  case xdpTableCreate, xdpTableSet, xdpTableRemove, xdpProgramLoad, xdpProgramAttach
  // io_uring
  case uringOpen, uringEnter, uringCancel, uringRegisterBuffers, uringUnregisterBuffers
  case uringRegisterMemory
  case uringQuery, uringRegisterArea, uringAddArea, uringArmEvent, uringFlushRefill
  case uringExport, uringImport
  // Vulkan
  case vulkanOpen, vulkanDescribe, vulkanDeviceOpen, vulkanImport, vulkanAllocate, vulkanExport
  case vulkanShader, vulkanJobBegin, vulkanJobWait
  // Network interfaces and netlink
  case interfaceIndex, interfaceName
  case ethtoolOpen, ethtoolDriver, ethtoolReceiveQueues, ethtoolIndirection
  case ethtoolSetIndirection, ethtoolCreateContext, ethtoolDeleteContext
  case ethtoolNamespace, ethtoolRuleLocations, ethtoolRule, ethtoolInsertRule, ethtoolDeleteRule
  case netlinkOpen, netlinkClose, netlinkSetOption, netlinkJoin, netlinkSend, netlinkReceive
  // Process
  case kernelRelease, setEffectiveUser, setProcessor, limit, spawn
}
