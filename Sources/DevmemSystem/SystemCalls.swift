// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims
internal import Glibc

// One function per call into the kernel, libdrm, libmnl or libnuma. Each passes through `perform`,
// where the test seam sits, EINTR is retried and impossible errnos trap.

/// Errnos that can only come from a bug of this module trap instead of being thrown.
private struct Rules: OptionSet {
  let rawValue: Int
  /// EFAULT is a fact about the memory, not a wild pointer of ours.
  static let mayFault = Rules(rawValue: 1)
  /// The kernel lets go whatever it answers: made even when the seam forces an errno, never
  /// retried.
  static let releases = Rules(rawValue: 2)
  /// EAGAIN means "once more", as it does for DMA_BUF_IOCTL_SYNC.
  static let retriesAgain = Rules(rawValue: 4)
  /// EBADF says that the descriptor, which is open, is of another kind.
  static let mayBeOfAnotherKind = Rules(rawValue: 8)
  /// EINTR is thrown: the call has a time limit, which would begin anew.
  static let hasTimeLimit = Rules(rawValue: 16)
}

@inline(__always)
@discardableResult
private func perform<Value: FixedWidthInteger & SignedInteger>(
  _ call: SystemCall, _ rules: Rules = [], _ body: () -> Value
) throws(Errno) -> Int {
  while true {
    let error: Errno
    if let forced = SystemCallSeam.forced(call) {
      if rules.contains(.releases) { _ = body() }
      error = forced
    } else {
      let result = body()
      if result >= 0 { return Int(result) }
      error = Errno(rawValue: Int32(0 - result))
    }
    if !rules.contains(.releases) {
      if (error == .EINTR && !rules.contains(.hasTimeLimit))
        || (error == .EAGAIN && rules.contains(.retriesAgain))
      {
        continue
      }
    }
    if (error == .EBADF && !rules.contains(.mayBeOfAnotherKind))
      || (error == .EFAULT && !rules.contains(.mayFault))
    {
      fatalError("\(call.rawValue): \(error) can only be a bug in DevmemSystem or in its caller")
    }
    throw error
  }
}

// MARK: - Files

func system_open(_ path: String, writable: Bool) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(path)
  let number = try perform(.open) { unsafe csystem_file_open(path, writable ? 1 : 0) }
  return OwnedFileDescriptor(owning: Int32(number))
}

/// Never throws: the descriptor is gone whatever the kernel says (EIO, EINTR), and EBADF traps.
func system_close(_ number: Int32) {
  _ = try? perform(.close, .releases) { csystem_file_close(number) }
}

func system_duplicate(_ number: Int32) throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(
    owning: Int32(try perform(.duplicate) { csystem_file_duplicate(number) }))
}

func system_identity(_ number: Int32) throws(Errno) -> FileIdentity {
  var device: UInt64 = 0
  var inode: UInt64 = 0
  try perform(.identity) { unsafe csystem_file_identity(number, &device, &inode) }
  return FileIdentity(device: device, inode: inode)
}

func system_byteCount(_ number: Int32) throws(Errno) -> Int {
  try perform(.byteCount) { csystem_file_byte_count(number) }
}

func system_read(_ number: Int32, _ bytes: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
  try perform(.read) { unsafe csystem_file_read(number, bytes.baseAddress, bytes.count) }
}

func system_readAt(
  _ number: Int32, _ bytes: UnsafeMutableRawBufferPointer, offset: UInt64
) throws(Errno) -> Int {
  try perform(.readAt) {
    unsafe csystem_file_read_at(number, bytes.baseAddress, bytes.count, offset)
  }
}

func system_directory(
  _ path: String, _ names: UnsafeMutableBufferPointer<CChar>
) throws(Errno) -> Int {
  try perform(.directory) { unsafe csystem_directory_names(path, names.baseAddress, names.count) }
}

func system_makeFolder(_ path: String, mode: UInt32) throws(Errno) {
  try refuseNUL(path)
  try perform(.makeFolder) { unsafe csystem_file_make_folder(path, mode) }
}

func system_createFile(_ path: String, mode: UInt32) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(path)
  let number = try perform(.createFile) { unsafe csystem_file_create(path, mode) }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_replaceFile(
  _ path: String, by new: String, _ bytes: UnsafeRawBufferPointer, mode: UInt32
) throws(Errno) {
  try refuseNUL(path)
  try refuseNUL(new)
  try perform(.replaceFile) {
    unsafe csystem_file_replace(path, new, bytes.baseAddress, bytes.count, mode)
  }
}

func system_removeFile(_ path: String) throws(Errno) {
  try refuseNUL(path)
  try perform(.removeFile) { unsafe csystem_file_remove(path) }
}

func system_lockByte(_ number: Int32, _ offset: UInt64) throws(Errno) {
  try perform(.lockByte) { csystem_file_lock(number, offset) }
}

func system_awaitByte(_ number: Int32, _ offset: UInt64, isShared: Bool) throws(Errno) {
  try perform(.awaitByte) { csystem_file_await_lock(number, offset, isShared ? 1 : 0) }
}

/// Never throws: the end of the descriptor unlocks as well.
func system_unlockByte(_ number: Int32, _ offset: UInt64) {
  _ = try? perform(.unlockByte, .releases) { csystem_file_unlock(number, offset) }
}

func system_isByteLocked(_ number: Int32, _ offset: UInt64) throws(Errno) -> Bool {
  try perform(.isByteLocked) { csystem_file_is_locked(number, offset) } != 0
}

// MARK: - Memory files

func system_memoryFileCreate(
  _ name: String, pageShift: UInt32, sealable: Bool, noExec: Bool
) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.memoryFileCreate) {
    unsafe csystem_memfd_create(name, pageShift, sealable ? 1 : 0, noExec ? 1 : 0)
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_memoryFileResize(_ number: Int32, byteCount: Int) throws(Errno) {
  try perform(.memoryFileResize) { csystem_memfd_resize(number, UInt64(byteCount)) }
}

func system_memoryFileAddSeals(_ number: Int32, _ seals: UInt32) throws(Errno) {
  try perform(.memoryFileAddSeals) { csystem_memfd_add_seals(number, seals) }
}

func system_memoryFileSeals(_ number: Int32) throws(Errno) -> UInt32 {
  // EBADF of a descriptor that only names a file (O_PATH), as somebody else may send one.
  UInt32(try perform(.memoryFileSeals, .mayBeOfAnotherKind) { csystem_memfd_seals(number) })
}

func system_memoryFilePageSize(_ number: Int32) throws(Errno) -> Int {
  let byteCount = try perform(.memoryFilePageSize) { csystem_memfd_page_byte_count(number) }
  guard let pretended = SystemCallSeam.basePageByteCount,
    byteCount == Int(csystem_process_page_byte_count())
  else { return byteCount }
  return pretended
}

// MARK: - Mappings

func system_mapFile(
  _ number: Int32, offset: Int, byteCount: Int, writable: Bool,
  over fixedAddress: UnsafeMutableRawPointer? = nil
) throws(Errno) -> UnsafeMutableRawPointer {
  var address: UnsafeMutableRawPointer?
  try perform(.mapFile) {
    unsafe csystem_mapping_map_file(
      number, UInt64(offset), byteCount, writable ? 1 : 0, fixedAddress, &address)
  }
  return unsafe address!
}

func system_mapAnonymous(
  byteCount: Int, pageShift: UInt32
) throws(Errno) -> UnsafeMutableRawPointer {
  var address: UnsafeMutableRawPointer?
  try perform(.mapAnonymous) {
    unsafe csystem_mapping_map_anonymous(byteCount, pageShift, &address)
  }
  return unsafe address!
}

func system_reserve(
  byteCount: Int, alignment: Int
) throws(Errno) -> UnsafeMutableRawPointer {
  var address: UnsafeMutableRawPointer?
  try perform(.reserve) { unsafe csystem_mapping_reserve(byteCount, alignment, &address) }
  return unsafe address!
}

func system_unmap(_ address: UnsafeMutableRawPointer, byteCount: Int) throws(Errno) {
  try perform(.unmap, .releases) { unsafe csystem_mapping_unmap(address, byteCount) }
}

func system_populate(
  _ address: UnsafeMutableRawPointer, byteCount: Int, threadCount: Int,
  processors: UnsafeBufferPointer<UInt64>?, file: Int32
) throws(Errno) {
  try perform(.populate, .mayFault) {
    // Whole huge pages of 2 MiB, whatever the pages are; placing them takes about a millisecond.
    unsafe csystem_mapping_populate(
      address, byteCount, UInt32(clamping: max(threadCount, 1)), 4 << 20, processors?.baseAddress,
      file)
  }
}

func system_readThroughPages(
  _ address: UnsafeRawPointer, _ bytes: UnsafeMutableRawBufferPointer
) throws(Errno) -> Int {
  try perform(.readThroughPages, .mayFault) {
    unsafe csystem_mapping_read_through_pages(address, bytes.baseAddress, bytes.count)
  }
}

// MARK: - Exporters and dma-bufs

func system_udmabufCreate(
  _ device: Int32, memoryFile: Int32, offset: Int, byteCount: Int
) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.udmabufCreate) {
    csystem_udmabuf_create(device, memoryFile, UInt64(offset), UInt64(byteCount))
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_udmabufCreateList(
  _ device: Int32, _ items: [UDMABufDevice.Item]
) throws(Errno) -> OwnedFileDescriptor {
  let list = items.map {
    csystem_udmabuf_item(
      memory_file: UInt32(bitPattern: $0.memoryFile), reserved: 0,
      offset: UInt64($0.offset), byte_count: UInt64($0.byteCount))
  }
  let number = try perform(.udmabufCreateList) {
    unsafe csystem_udmabuf_create_list(device, list, UInt32(list.count))
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_dmabufSync(_ number: Int32, flags: UInt64) throws(Errno) {
  try perform(.dmabufSync, .retriesAgain) { csystem_dmabuf_sync(number, flags) }
}

/// Whether a descriptor is a dma-buf's, where nothing else says so: a sync without a direction does
/// nothing, and only a dma-buf says that the direction is wrong (`EINVAL`, dma_buf_ioctl in
/// drivers/dma-buf/dma-buf.c); other files do not know the call.
func system_isDMABuf(_ number: Int32) -> Bool {
  do {
    // EBADF of a descriptor that only names a file (O_PATH).
    try perform(.dmabufSync, [.retriesAgain, .mayBeOfAnotherKind]) {
      csystem_dmabuf_sync(number, 0)
    }
  } catch {
    return error == .EINVAL
  }
  return false
}

func system_dmabufSetName(_ number: Int32, _ name: String) throws(Errno) {
  try perform(.dmabufSetName) { unsafe csystem_dmabuf_set_name(number, name) }
}

func system_dmabufExportSyncFile(
  _ number: Int32, flags: UInt32
) throws(Errno) -> OwnedFileDescriptor {
  let result = try perform(.dmabufExportSyncFile) {
    csystem_dmabuf_export_sync_file(number, flags)
  }
  return OwnedFileDescriptor(owning: Int32(result))
}

func system_dmabufImportSyncFile(
  _ number: Int32, syncFile: Int32, flags: UInt32
) throws(Errno) {
  try perform(.dmabufImportSyncFile) {
    csystem_dmabuf_import_sync_file(number, syncFile, flags)
  }
}

/// EBADF is a fact about the descriptor, which somebody else may have sent: one that only names a
/// file (O_PATH).
func system_syncFileStatus(_ number: Int32) throws(Errno) -> Int32 {
  var status: Int32 = 0
  try perform(.syncFileStatus, .mayBeOfAnotherKind) {
    unsafe csystem_syncfile_status(number, &status)
  }
  return status
}

func system_dmaHeapAllocate(_ heap: Int32, byteCount: Int) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.dmaHeapAllocate) {
    csystem_dmaheap_allocate(heap, UInt64(byteCount))
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_drmDriverName(
  _ card: Int32, _ name: UnsafeMutableBufferPointer<CChar>
) throws(Errno) -> Int {
  try perform(.drmDriverName) {
    unsafe csystem_drm_driver_name(card, name.baseAddress, name.count)
  }
}

func system_drmCreateDumb(
  _ card: Int32, width: UInt32, height: UInt32
) throws(Errno) -> (handle: UInt32, byteCount: Int) {
  var handle: UInt32 = 0
  var byteCount: UInt64 = 0
  try perform(.drmCreateDumb) {
    unsafe csystem_drm_create_dumb(card, width, height, &handle, &byteCount)
  }
  return (handle, Int(byteCount))
}

func system_drmDumbMapOffset(_ card: Int32, handle: UInt32) throws(Errno) -> Int {
  var offset: UInt64 = 0
  try perform(.drmDumbMapOffset) { unsafe csystem_drm_dumb_map_offset(card, handle, &offset) }
  return Int(offset)
}

func system_drmCloseHandle(_ card: Int32, handle: UInt32) throws(Errno) {
  try perform(.drmCloseHandle, .releases) { csystem_drm_close_handle(card, handle) }
}

func system_drmExportHandle(_ card: Int32, handle: UInt32) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.drmExportHandle) { csystem_drm_export_handle(card, handle) }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_drmImportHandle(_ card: Int32, descriptor: Int32) throws(Errno) -> UInt32 {
  var handle: UInt32 = 0
  try perform(.drmImportHandle) { unsafe csystem_drm_import_handle(card, descriptor, &handle) }
  return handle
}

// MARK: - NUMA (the questions that cannot fail are asked in NUMANode.swift)

func system_numaMemory(_ node: Int) throws(Errno) -> (total: UInt64, free: UInt64) {
  var total: UInt64 = 0
  var free: UInt64 = 0
  try perform(.numaMemory) { unsafe csystem_numa_memory(Int32(node), &total, &free) }
  return (total, free)
}

func system_numaBind(
  _ address: UnsafeMutableRawPointer, byteCount: Int, node: Int
) throws(Errno) {
  try perform(.numaBind) { unsafe csystem_numa_bind(address, byteCount, Int32(node)) }
}

func system_numaNodeOf(_ address: UnsafeRawPointer) throws(Errno) -> Int {
  try perform(.numaNodeOf, .mayFault) { unsafe csystem_numa_node_of(address) }
}

func system_numaProcessors(
  _ node: Int, _ words: UnsafeMutableBufferPointer<UInt64>
) throws(Errno) -> Int {
  try perform(.numaProcessors) {
    unsafe csystem_numa_processors(Int32(clamping: node), words.baseAddress, words.count)
  }
}

// MARK: - Threads

func system_threadStart(
  _ name: String, _ words: UnsafeBufferPointer<UInt64>, context: UnsafeMutableRawPointer,
  _ routine: @convention(c) (UnsafeMutableRawPointer?) -> Void
) throws(Errno) -> UInt64 {
  var thread: UInt64 = 0
  try perform(.threadStart) {
    unsafe csystem_thread_start(name, words.baseAddress, routine, context, &thread)
  }
  return thread
}

/// Never throws: a thread that is owned can be joined and detached.
func system_threadRelease(_ thread: UInt64) {
  _ = try? perform(.threadRelease, .releases) { csystem_thread_release(thread) }
}

func system_processProcessors(
  _ words: UnsafeMutableBufferPointer<UInt64>
) throws(Errno) -> Int {
  try perform(.processProcessors) {
    unsafe csystem_thread_process_processors(words.baseAddress)
  }
}

// MARK: - Unix sockets

func system_unixPair(stream: Bool) throws(Errno) -> (Int32, Int32) {
  var first: Int32 = -1
  var second: Int32 = -1
  try perform(.unixPair) { unsafe csystem_unixsocket_pair(stream ? 1 : 0, &first, &second) }
  return (first, second)
}

func system_unixListen(
  _ path: String, stream: Bool, backlog: Int, permissions: UInt32
) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(path)
  let number = try perform(.unixListen) {
    unsafe csystem_unixsocket_listen(
      path, stream ? 1 : 0, Int32(clamping: backlog), permissions)
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_unixPeer(_ number: Int32) throws(Errno) -> UnixSocket.Peer {
  var process: Int32 = 0
  var user: UInt32 = 0
  var group: UInt32 = 0
  try perform(.unixPeer) { unsafe csystem_unixsocket_peer(number, &process, &user, &group) }
  // NGROUPS_MAX
  var groups = [UInt32](repeating: 0, count: 65536)
  let count = try perform(.unixPeer) {
    unsafe csystem_unixsocket_peer_groups(number, &groups, groups.count)
  }
  return UnixSocket.Peer(process: process, user: user, groups: [group] + groups[..<count])
}

func system_unixConnect(_ path: String, stream: Bool) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(path)
  let number = try perform(.unixConnect) {
    unsafe csystem_unixsocket_connect(path, stream ? 1 : 0)
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_unixAccept(_ listener: Int32) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.unixAccept) { csystem_unixsocket_accept(listener) }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_unixSend(
  _ number: Int32, _ bytes: UnsafeRawBufferPointer, descriptors: [Int32]
) throws(Errno) -> Int {
  try perform(.unixSend, .mayFault) {
    unsafe csystem_unixsocket_send(
      number, bytes.baseAddress, bytes.count, descriptors, descriptors.count)
  }
}

/// `descriptors` must have room for as many as are asked for; those written belong to the caller.
func system_unixReceive(
  _ number: Int32, _ bytes: UnsafeMutableRawBufferPointer, descriptors: inout [Int32]
) throws(Errno) -> (byteCount: Int, descriptorCount: Int, obstacle: Errno?) {
  var descriptorCount = 0
  var obstacle: Int32 = 0
  let limit = descriptors.count
  let byteCount = try perform(.unixReceive, .mayFault) {
    unsafe csystem_unixsocket_receive(
      number, bytes.baseAddress, bytes.count, &descriptors, limit, &descriptorCount, &obstacle)
  }
  return (byteCount, descriptorCount, obstacle == 0 ? nil : Errno(rawValue: obstacle))
}

// MARK: - TCP

func system_tcpListen(
  on local: TCPEndpoint, interface: String?, backlog: Int
) throws(Errno) -> (descriptor: Int32, port: UInt16) {
  try refuseNUL(local.address, interface)
  var boundPort: UInt16 = 0
  let number = try perform(.tcpListen) {
    unsafe withOptionalCString(interface) { interface in
      unsafe csystem_socket_listen(
        local.address, local.port, interface, Int32(clamping: backlog), &boundPort)
    }
  }
  return (Int32(number), boundPort)
}

func system_tcpConnect(
  to remote: TCPEndpoint, from local: TCPEndpoint?, interface: String?
) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(remote.address, local?.address, interface)
  let number = try perform(.tcpConnect) {
    unsafe withOptionalCString(interface) { interface in
      unsafe withOptionalCString(local?.address) { localAddress in
        unsafe csystem_socket_connect(
          remote.address, remote.port, localAddress, local?.port ?? 0, interface)
      }
    }
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_resolve(
  _ host: String, _ addresses: UnsafeMutableBufferPointer<CChar>
) throws(Errno) -> Int {
  try refuseNUL(host)
  return try perform(.resolve) {
    unsafe csystem_socket_resolve(host, addresses.baseAddress, addresses.count)
  }
}

func system_tcpBeginConnect(
  to remote: TCPEndpoint, from local: TCPEndpoint?, interface: String?
) throws(Errno) -> OwnedFileDescriptor {
  try refuseNUL(remote.address, local?.address, interface)
  let number = try perform(.tcpBeginConnect) {
    unsafe withOptionalCString(interface) { interface in
      unsafe withOptionalCString(local?.address) { localAddress in
        unsafe csystem_socket_begin_connect(
          remote.address, remote.port, localAddress, local?.port ?? 0, interface)
      }
    }
  }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_tcpConnectResult(_ number: Int32) throws(Errno) {
  try perform(.tcpConnectResult) { csystem_socket_connect_result(number) }
}

/// C would see the text up to its first NUL only, and take another file, address or interface.
private func refuseNUL(_ texts: String?...) throws(Errno) {
  for text in texts where text?.utf8.contains(0) == true { throw .EINVAL }
}

/// Passes a string to C, or NULL where there is none.
private func withOptionalCString<Result>(
  _ text: String?, _ body: (UnsafePointer<CChar>?) -> Result
) -> Result {
  guard let text else { return body(nil) }
  return unsafe text.withCString { unsafe body($0) }
}

func system_setBlocking(_ number: Int32, _ isBlocking: Bool) throws(Errno) {
  try perform(.setBlocking) { csystem_socket_set_blocking(number, isBlocking ? 1 : 0) }
}

func system_tcpAccept(_ listener: Int32) throws(Errno) -> OwnedFileDescriptor {
  let number = try perform(.tcpAccept) { csystem_socket_accept(listener) }
  return OwnedFileDescriptor(owning: Int32(number))
}

func system_tcpSetNoDelay(_ number: Int32, _ enabled: Bool) throws(Errno) {
  try perform(.tcpSetOption) { csystem_socket_set_no_delay(number, enabled ? 1 : 0) }
}

func system_tcpSetZerocopy(_ number: Int32, _ enabled: Bool) throws(Errno) {
  try perform(.tcpSetOption) { csystem_socket_set_zerocopy(number, enabled ? 1 : 0) }
}

func system_tcpSetBuffer(_ number: Int32, receive: Bool, byteCount: Int) throws(Errno) {
  try perform(.tcpSetOption) {
    csystem_socket_set_buffer(number, receive ? 1 : 0, UInt32(clamping: byteCount))
  }
}

func system_tcpFinishSending(_ number: Int32) throws(Errno) {
  try perform(.tcpFinishSending) { csystem_socket_finish_sending(number) }
}

func system_tcpEndConnection(_ number: Int32) throws(Errno) {
  try perform(.tcpEndConnection) { csystem_socket_end_connection(number) }
}

func system_tcpSend(
  _ number: Int32, _ vectors: UnsafeBufferPointer<IOVector>, zerocopy: Bool
) throws(Errno) -> Int {
  try perform(.tcpSend, .mayFault) {
    unsafe vectors.withMemoryRebound(to: csystem_socket_vector.self) {
      unsafe csystem_socket_send(number, $0.baseAddress, $0.count, zerocopy ? 1 : 0)
    }
  }
}

func system_tcpReceive(
  _ number: Int32, _ vectors: UnsafeBufferPointer<IOVector>, waitAll: Bool
) throws(Errno) -> Int {
  try perform(.tcpReceive, .mayFault) {
    unsafe vectors.withMemoryRebound(to: csystem_socket_vector.self) {
      unsafe csystem_socket_receive(number, $0.baseAddress, $0.count, waitAll ? 1 : 0)
    }
  }
}

func system_tcpReadCompletion(_ number: Int32) throws(Errno) -> ZerocopyCompletion? {
  var completion = csystem_socket_completion()
  let count = try perform(.tcpReadCompletion) {
    unsafe csystem_socket_read_completion(number, &completion)
  }
  guard count > 0 else { return nil }
  return ZerocopyCompletion(
    first: completion.first, last: completion.last, isCopied: completion.copied != 0)
}

func system_wait(_ number: Int32, interest: Int32, milliseconds: Int32) throws(Errno) -> Bool {
  let deadline = Deadline(milliseconds: milliseconds)
  var left = milliseconds
  while true {
    do {
      return try perform(.wait, .hasTimeLimit) { csystem_socket_wait(number, interest, left) } > 0
    } catch {
      guard error == .EINTR else { throw error }
      // A last look was interrupted: the time is over.
      if left == 0 { return false }
      left = deadline.milliseconds
    }
  }
}

// MARK: - Many descriptors

func system_epollCreate() throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(owning: Int32(try perform(.epollCreate) { csystem_epoll_create() }))
}

func system_epollAdd(_ epoll: Int32, _ number: Int32, interest: Int32) throws(Errno) {
  try perform(.epollAdd) { csystem_epoll_add(epoll, number, interest) }
}

func system_epollRemove(_ epoll: Int32, _ number: Int32) throws(Errno) {
  try perform(.epollRemove) { csystem_epoll_remove(epoll, number) }
}

func system_epollWait(
  _ epoll: Int32, _ ready: inout [Int32], milliseconds: Int32
) throws(Errno) -> Int {
  let deadline = Deadline(milliseconds: milliseconds)
  var left = milliseconds
  while true {
    do {
      return try unsafe ready.withUnsafeMutableBufferPointer { ready throws(Errno) in
        try perform(.epollWait, .hasTimeLimit) {
          unsafe csystem_epoll_wait(epoll, ready.baseAddress, Int32(clamping: ready.count), left)
        }
      }
    } catch {
      guard error == .EINTR else { throw error }
      if left == 0 { return 0 }
      left = deadline.milliseconds
    }
  }
}

// MARK: - Device memory TCP

/// Fills `control`'s messages. EFAULT is a fact about the vectors' memory.
func system_devmemReceive(
  _ number: Int32, _ vectors: UnsafeBufferPointer<IOVector>, waits: Bool,
  _ control: UnsafeMutableRawBufferPointer, _ messages: UnsafeMutablePointer<DMABufMessage>
) throws(Errno) -> (byteCount: Int, messageCount: Int, isTruncated: Bool) {
  var messageCount = 0
  var truncated: Int32 = 0
  let capacity = control.count / Int(CSYSTEM_DEVMEM_CONTROL_BYTE_COUNT)
  let byteCount = try perform(.devmemReceive, .mayFault) {
    unsafe vectors.withMemoryRebound(to: csystem_socket_vector.self) { vectors in
      unsafe messages.withMemoryRebound(to: csystem_devmem_fragment.self, capacity: capacity) {
        unsafe csystem_devmem_receive(
          number, vectors.baseAddress, vectors.count, waits ? 1 : 0, control.baseAddress,
          control.count, $0, &messageCount, &truncated)
      }
    }
  }
  return (byteCount, messageCount, truncated != 0)
}

/// EBADF is a fact about the socket: it is not TCP.
func system_devmemReturnTokens(
  _ number: Int32, _ ranges: UnsafeBufferPointer<DMABufTokenRange>
) throws(Errno) -> Int {
  try perform(.devmemReturnTokens, .mayBeOfAnotherKind) {
    unsafe ranges.withMemoryRebound(to: csystem_devmem_token_range.self) {
      unsafe csystem_devmem_return_tokens(number, $0.baseAddress, $0.count)
    }
  }
}

func system_devmemSend(
  _ number: Int32, _ vectors: UnsafeBufferPointer<IOVector>, binding: UInt32
) throws(Errno) -> Int {
  try perform(.devmemSend, .mayFault) {
    unsafe vectors.withMemoryRebound(to: csystem_socket_vector.self) {
      unsafe csystem_devmem_send(number, $0.baseAddress, $0.count, binding)
    }
  }
}

// MARK: - AF_XDP

func system_xdpOpen() throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(owning: Int32(try perform(.xdpOpen) { csystem_xdp_open() }))
}

func system_xdpRegisterMemory(
  _ number: Int32, _ address: UnsafeMutableRawPointer, byteCount: Int, chunkByteCount: Int,
  headroom: Int
) throws(Errno) {
  try perform(.xdpRegisterMemory, .mayFault) {
    unsafe csystem_xdp_register_memory(
      number, address, byteCount, UInt32(clamping: chunkByteCount), UInt32(clamping: headroom))
  }
}

// MARK: - Network interfaces and netlink

func system_interfaceIndex(_ name: String) throws(Errno) -> UInt32 {
  try refuseNUL(name)
  var index: UInt32 = 0
  try perform(.interfaceIndex) { unsafe csystem_interface_index(name, &index) }
  return index
}

func system_interfaceName(_ index: UInt32) throws(Errno) -> String {
  var name = [CChar](repeating: 0, count: csystem_interface_name_size)
  let count = try perform(.interfaceName) { unsafe csystem_interface_name(index, &name) }
  return String(decoding: name[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

func system_netlinkOpen() throws(Errno) -> UnsafeMutableRawPointer {
  var socket: UnsafeMutableRawPointer?
  try perform(.netlinkOpen) { unsafe csystem_netlink_open(&socket) }
  return unsafe socket!
}

/// Never throws, as ``system_close(_:)``.
func system_netlinkClose(_ socket: UnsafeMutableRawPointer) {
  _ = try? perform(.netlinkClose, .releases) { unsafe csystem_netlink_close(socket) }
}

func system_netlinkSetStrict(_ socket: UnsafeMutableRawPointer) throws(Errno) {
  try perform(.netlinkSetOption) { unsafe csystem_netlink_set_strict(socket) }
}

func system_netlinkSetTimeLimit(
  _ socket: UnsafeMutableRawPointer, milliseconds: Int
) throws(Errno) {
  try perform(.netlinkSetOption) {
    unsafe csystem_netlink_set_time_limit(socket, UInt32(clamping: milliseconds))
  }
}

func system_netlinkJoin(_ socket: UnsafeMutableRawPointer, group: UInt32) throws(Errno) {
  try perform(.netlinkJoin) { unsafe csystem_netlink_join(socket, group) }
}

func system_netlinkSend(
  _ socket: UnsafeMutableRawPointer, _ bytes: UnsafeRawBufferPointer
) throws(Errno) {
  try perform(.netlinkSend) { unsafe csystem_netlink_send(socket, bytes.baseAddress, bytes.count) }
}

func system_netlinkReceive(
  _ socket: UnsafeMutableRawPointer, _ bytes: UnsafeMutableRawBufferPointer
) throws(Errno) -> Int {
  try perform(.netlinkReceive) {
    unsafe csystem_netlink_receive(socket, bytes.baseAddress, bytes.count)
  }
}

// MARK: - ethtool's ioctls

func system_ethtoolOpen() throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(owning: Int32(try perform(.ethtoolOpen) { csystem_ethtool_open() }))
}

func system_ethtoolDriver(_ number: Int32, _ interface: String) throws(Errno) -> String {
  var name = [CChar](repeating: 0, count: Int(csystem_ethtool_driver_size))
  let count = try perform(.ethtoolDriver) {
    unsafe csystem_ethtool_driver(number, interface, &name)
  }
  return String(decoding: name[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

func system_ethtoolReceiveQueues(_ number: Int32, _ interface: String) throws(Errno) -> Int {
  var count: UInt32 = 0
  try perform(.ethtoolReceiveQueues) {
    unsafe csystem_ethtool_receive_queues(number, interface, &count)
  }
  return Int(count)
}

/// Fills `queues` if they are enough, and returns how many there are.
func system_ethtoolIndirection(
  _ number: Int32, _ interface: String, context: UInt32, _ queues: inout [UInt32]
) throws(Errno) -> Int {
  var size = 0
  let capacity = queues.count
  try perform(.ethtoolIndirection) {
    unsafe csystem_ethtool_indirection(number, interface, context, &queues, capacity, &size)
  }
  return size
}

func system_ethtoolSetIndirection(
  _ number: Int32, _ interface: String, _ queues: [UInt32]
) throws(Errno) {
  try perform(.ethtoolSetIndirection) {
    unsafe csystem_ethtool_set_indirection(number, interface, queues, queues.count)
  }
}

func system_ethtoolCreateContext(
  _ number: Int32, _ interface: String, _ queues: [UInt32]
) throws(Errno) -> UInt32 {
  var context: UInt32 = 0
  try perform(.ethtoolCreateContext) {
    unsafe csystem_ethtool_create_context(number, interface, queues, queues.count, &context)
  }
  return context
}

func system_ethtoolDeleteContext(
  _ number: Int32, _ interface: String, _ context: UInt32
) throws(Errno) {
  try perform(.ethtoolDeleteContext) {
    unsafe csystem_ethtool_delete_context(number, interface, context)
  }
}

/// `locations` has room for as many as are expected; EMSGSIZE says that there are more.
func system_ethtoolRuleLocations(
  _ number: Int32, _ interface: String, _ locations: inout [UInt32],
  _ table: inout csystem_ethtool_rule_table
) throws(Errno) {
  let capacity = locations.count
  try perform(.ethtoolRuleLocations) {
    unsafe csystem_ethtool_rule_locations(number, interface, &locations, capacity, &table)
  }
}

func system_ethtoolRule(
  _ number: Int32, _ interface: String, _ rule: inout csystem_ethtool_rule
) throws(Errno) {
  try perform(.ethtoolRule) { unsafe csystem_ethtool_rule(number, interface, &rule) }
}

func system_ethtoolInsertRule(
  _ number: Int32, _ interface: String, _ rule: inout csystem_ethtool_rule
) throws(Errno) {
  try perform(.ethtoolInsertRule) {
    unsafe csystem_ethtool_insert_rule(number, interface, &rule)
  }
}

func system_ethtoolNamespace(_ number: Int32) throws(Errno) -> UInt64 {
  var cookie: UInt64 = 0
  try perform(.ethtoolNamespace) { unsafe csystem_ethtool_namespace(number, &cookie) }
  return cookie
}

func system_ethtoolDeleteRule(
  _ number: Int32, _ interface: String, _ location: UInt32
) throws(Errno) {
  try perform(.ethtoolDeleteRule) {
    unsafe csystem_ethtool_delete_rule(number, interface, location)
  }
}

// MARK: - Process

func system_kernelRelease(_ release: UnsafeMutableBufferPointer<CChar>) throws(Errno) -> Int {
  try perform(.kernelRelease) {
    unsafe csystem_process_kernel_release(release.baseAddress, release.count)
  }
}

func system_setEffectiveUser(_ user: UInt32) throws(Errno) {
  try perform(.setEffectiveUser) { csystem_process_set_effective_user(user) }
}

func system_setProcessor(_ processor: Int) throws(Errno) {
  try perform(.setProcessor) { csystem_process_set_processor(Int32(clamping: processor)) }
}

func system_spawn(
  _ path: String, _ arguments: [String], descriptor: Int32, as number: Int32
) throws(Errno) -> Int32 {
  var pointers: [UnsafePointer<CChar>?] = unsafe arguments.map { unsafe UnsafePointer(strdup($0)) }
  defer { unsafe pointers.forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) } }
  unsafe pointers.append(nil)
  let list = unsafe pointers
  return Int32(
    try perform(.spawn) { unsafe csystem_process_spawn(path, list, descriptor, number) })
}

func system_limit(_ which: Int32) throws(Errno) -> UInt64 {
  var limit: UInt64 = 0
  try perform(.limit) { unsafe csystem_process_limit(which, &limit) }
  return limit
}
