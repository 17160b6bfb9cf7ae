// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc
import Synchronization

/// The main job from beginning to end.
enum DemoRun {
  static func run(_ options: DemoOptions) throws -> DemoReport {
    try CommandError.requireDescriptors()
    let buffer = try options.makeBuffer()
    // IOVs larger than a page need not be contiguous in physical memory here: who reads them maps
    // the dma-buf and goes by offset.
    let carving = try DMABufCarving(
      buffer, iovByteCount: options.iovByteCount,
      addressing: options.iovByteCount > options.pageSize.byteCount ? .bufferOffset : .automatic)
    let payload = try PagePool(
      provider: DMABufMemoryProvider(carving),
      configuration: PagePool.Configuration(
        // Every IOV may wait in the pool: none goes back to the allocator between two packets.
        ringCapacity: carving.iovCount, node: options.node, name: "payload"))
    let headers = try PagePool(
      provider: HostMemoryProvider(byteCount: 1 << 20, node: options.node),
      configuration: PagePool.Configuration(node: options.node, name: "headers"))

    let importer = try ImporterProcess(limit: options.importerSeconds)
    let lender = try importer.lend(buffer, of: payload)
    let (device, malloc, sender) = try connect(
      options, buffer, headers, payload, lender, importer.patience)
    let timings: DemoTimings
    do {
      timings = try transfer(options, device, malloc, sender)
    } catch {
      // A sender that failed is the cause, the stream that ended its effect.
      throw sender.failure ?? error
    }

    let sent = try sender.finish()
    try device.finish()
    let seen = try importer.result(of: lender)
    let seenInMalloc = try malloc.finish()
    guard sent == seenInMalloc else {
      throw CommandError("the comparison saw other bytes than were sent: it compares nothing")
    }
    let statistics = payload.statistics
    return DemoReport(
      exporter: "\(buffer.exporter)", isExported: buffer.isExported,
      kernel: currentKernelRelease(), byteCount: buffer.byteCount,
      iovByteCount: carving.iovByteCount, payloadByteCount: device.payloadByteCount,
      payloadInDeviceMemoryByteCount: buffer.isExported ? device.deviceByteCount : 0,
      headerCount: device.headerCount, sha256Sent: sent.hexadecimal,
      sha256SeenByImporter: seen.digest.hexadecimal, drmImport: seen.drmImport,
      inFlightAtEnd: closeAndCount(payload) + closeAndCount(headers), statistics: statistics,
      timings: timings)
  }

  /// Two real TCP connections over loopback, and who is at their ends.
  private static func connect(
    _ options: DemoOptions, _ buffer: DMABuf, _ headers: PagePool, _ payload: PagePool,
    _ lender: FragmentLender, _ patience: PeerWait
  ) throws -> (DevicePath, MallocPath, DemoSender) {
    // Receive buffers stay as they are: setting SO_RCVBUF would switch the kernel's own tuning off,
    // which goes further (tcp_rmem) than a program may ask for (rmem_max).
    let listener = try CommandError.wrapping("listening on 127.0.0.1", remedy: Self.loopbackRemedy)
    {
      () throws(Errno) in try TCPSocket.listen()
    }
    func connect() throws(CommandError) -> TCPSocket {
      try CommandError.wrapping(
        "connecting to ourselves over 127.0.0.1:\(listener.port)", remedy: Self.loopbackRemedy
      ) { () throws(Errno) in
        let out = try TCPSocket.connect(port: listener.port)
        try out.setNoDelay(true)
        return out
      }
    }
    func accept() throws(CommandError) -> TCPSocket {
      try CommandError.wrapping("accepting our own connection") { () throws(Errno) in
        try listener.accept()
      }
    }
    let deviceOut = try connect()
    let device = try DevicePath(
      buffer: buffer, headers: headers, payload: payload, connection: accept(),
      lender: lender, patience: patience, payloadByteCount: options.payloadByteCount)
    let mallocOut = try connect()
    let malloc = try MallocPath(
      connection: accept(), payloadByteCount: options.payloadByteCount,
      outstandingByteLimit: options.bufferByteCount)
    let sender = try DemoSender(
      source: options.source, device: deviceOut, malloc: mallocOut,
      payloadByteCount: options.payloadByteCount)
    return (device, malloc, sender)
  }

  /// All slices, both ways; which way comes first alternates.
  private static func transfer(
    _ options: DemoOptions, _ device: DevicePath, _ malloc: MallocPath, _ sender: DemoSender
  ) throws -> DemoTimings {
    var timings = DemoTimings()
    // Every byte goes both ways; it counts as one when it has.
    var bar = ProgressBar(
      total: options.byteCount,
      isShown: options.showsProgress && Terminal.error.isInteractive)
    defer { bar.finish() }
    let slices = DemoTimings.slices(
      byteCount: options.byteCount, payloadByteCount: options.payloadByteCount)
    for (number, slice) in slices.enumerated() {
      try warm(options.source, slice)
      func time(_ way: DemoSender.Path, _ path: any DemoPath, done: Int) throws -> Duration {
        let start = ContinuousClock.now
        try sender.send(way, offset: slice.lowerBound, byteCount: slice.count)
        try path.transfer(byteCount: slice.count) { bar.update((done + $0) / 2) }
        return ContinuousClock.now - start
      }
      // What the other way has done by then.
      let other = number % 2 == 0 ? slice.lowerBound : slice.upperBound
      var result = DemoTimings.Slice(byteCount: slice.count, device: .zero, malloc: .zero)
      if number % 2 == 0 {
        result.device = try time(.device, device, done: slice.lowerBound)
        result.malloc = try time(.malloc, malloc, done: slice.upperBound)
      } else {
        result.malloc = try time(.malloc, malloc, done: slice.lowerBound)
        result.device = try time(.device, device, done: other)
      }
      timings.slices.append(result)
    }
    return timings
  }

  /// Reads a slice of a file once, so that the first way does not pay for the disk.
  private static func warm(_ source: DemoSource, _ slice: Range<Int>) throws {
    guard case .file = source else { return }
    let reader = try source.open()
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { unsafe block.deallocate() }
    for start in stride(from: slice.lowerBound, to: slice.upperBound, by: block.count) {
      let count = min(block.count, slice.upperBound - start)
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: block[..<count])
      try unsafe reader.read(at: start, into: bytes)
    }
  }

  /// A loopback interface that is down, as in a new network namespace, has no addresses.
  private static var loopbackRemedy: String? {
    // Not by /sys, which shows the network namespace that it was mounted in.
    var list: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&list) == 0 else { return nil }
    defer { unsafe freeifaddrs(list) }
    var entry = unsafe list
    var isDown = false
    while let current = unsafe entry {
      if unsafe strcmp(current.pointee.ifa_name, "lo") == 0 {
        unsafe isDown = current.pointee.ifa_flags & UInt32(IFF_UP) == 0
      }
      unsafe entry = current.pointee.ifa_next
    }
    guard isDown else { return nil }
    return "The loopback interface is down here: \(SystemProcess.asRoot("ip link set lo up"))"
  }

  /// Closes a pool; returns how many buffers are still out.
  private static func closeAndCount(_ pool: PagePool) -> Int {
    pool.close(whenDrained: {})
    return pool.inFlight.total
  }
}
