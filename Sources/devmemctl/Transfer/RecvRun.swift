// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNet
import DevmemSystem
import DevmemVulkan
import Glibc

/// `recv` from beginning to end.
enum RecvRun {
  static func run(_ options: RecvCommand) throws -> RecvReport {
    try CommandError.requireDescriptors()
    switch options.wire {
    case .devmem: return try runDevmem(options)
    case .tcp: return try runTCP(options)
    case .uring: return try runProvidedBuffers(options)
    case .zcrx: return try runZeroCopy(options)
    }
  }

  private static func runDevmem(_ options: RecvCommand) throws -> RecvReport {
    let stack = try InterfaceStack(named: options.transfer.requireInterface())
    let interface = stack.card
    // Before memory is made for it: what is missing, and what would provide it.
    try NICCapabilities.requireReceive(on: interface)
    let queues = try options.queues?.queues ?? NICSetup.lastQueues(1, of: interface)
    let sink = try ByteSink(options.output)
    let (buffer, target) = try makeMemory(options)
    // Bound memory pins the settings: the binding ends first, whatever happens.
    return try NICGuard.keeping(guardCard(options, interface, queues)) {
      try receive(options, stack, queues, buffer, target, sink)
    }
  }

  /// Sets the card up, unless somebody else has.
  static func guardCard(
    _ options: RecvCommand, _ interface: NetworkInterface, _ queues: [UInt32]
  ) throws -> NICGuard? {
    guard !options.noSetup else { return nil }
    let setup = try NICGuard(
      interface, queues: queues, rules: rules(options.listen, options.transfer.port, queues[0]))
    setup.noteWarnings()
    return setup
  }

  /// What is received into, and the device that reads it, if one does.
  static func makeMemory(_ options: RecvCommand) throws -> (DMABuf, VulkanMemory?) {
    func udmabuf() throws(DevmemError) -> DMABuf {
      try options.transfer.makeBuffer(
        iovByteCount: options.iovSize.value, name: "devmemctl recv")
    }
    guard let into = options.into else { return (try udmabuf(), nil) }
    let device = try Vulkan().device(into.choice)
    let memory =
      switch options.memory {
      case .udmabuf: try VulkanMemory(importing: udmabuf(), into: device)
      case .vulkan: try VulkanMemory(allocating: options.transfer.bufferSize.value, on: device)
      }
    return (memory.buffer, memory)
  }

  /// The port's connections, of the family that is listened to, go to the first bound queue.
  private static func rules(_ address: String, _ port: UInt16, _ queue: UInt32) -> [SteeringRule] {
    let families: [SteeringRule.Transport] =
      !address.contains(":") ? [.tcp4] : address == "::" ? [.tcp4, .tcp6] : [.tcp6]
    return families.map { SteeringRule($0, destination: .init(port: port), queue: queue) }
  }

  private static func receive(
    _ options: RecvCommand, _ stack: InterfaceStack, _ queues: [UInt32], _ buffer: DMABuf,
    _ target: VulkanMemory?, _ sink: borrowing ByteSink
  ) throws -> RecvReport {
    let interface = stack.card
    let binding = try NetdevBinding.receive(
      buffer, interface: interface, queues: queues,
      rxPageByteCount: options.iovSize.value == PageSize.base4K.byteCount
        ? nil : options.iovSize.value)
    defer { binding.close() }
    var details = DevmemWireReport(
      interface: interface.name, queues: queues, bindingID: binding.id,
      failsOnLinear: options.failOnLinear)
    var report = RecvReport(.devmem, details)
    report.poolInFlightBefore = try poolInFlight(binding)
    let linear = try PagePool(
      provider: HostMemoryProvider(byteCount: 4 << 20),
      configuration: PagePool.Configuration(name: "linear"))
    do {
      var receiver = try DevmemReceiver(
        stream: try accept(options, stack), binding: binding, linear: linear,
        configuration: DevmemReceiver.Configuration(
          tokenLimit: max(1, buffer.byteCount / options.iovSize.value / 2)))
      var loop = try RecvLoop(options, buffer, target)
      try loop.run(&receiver, sink)
      try receiver.flush()
      details.statistics = receiver.statistics
      details.tokensOwed = receiver.tokensOwed
      report.details = details
      loop.finish(&report)
    }
    report.poolInFlightAtEnd = try poolInFlight(binding)
    binding.close()
    report.poolInFlightAfter = try settledPoolInFlight(binding)
    return report
  }

  /// A listener and where it listens.
  struct Listener: ~Copyable {
    let socket: TCPSocket
    let local: TCPEndpoint
  }

  /// Listens. Where the kernel has no IPv6, "::" is all of IPv4 alone, and that is said.
  static func listen(
    on local: TCPEndpoint, interface: String?
  ) throws(CommandError) -> Listener {
    do throws(Errno) {
      return Listener(
        socket: try .listen(on: local, interface: interface, backlog: 1), local: local)
    } catch {
      guard error == .EAFNOSUPPORT, local.address == "::" else {
        throw CommandError("listening on \(local)", error)
      }
    }
    let fallback = TCPEndpoint(address: "0.0.0.0", port: local.port)
    Terminal.error.noteLine("this kernel has no IPv6 (ipv6.disable=1?): IPv4 alone")
    return try CommandError.wrapping("listening on \(fallback)") { () throws(Errno) in
      Listener(
        socket: try .listen(on: fallback, interface: interface, backlog: 1), local: fallback)
    }
  }

  /// Waits for the one connection.
  static func accept(
    _ options: RecvCommand, _ stack: InterfaceStack
  ) throws -> OwnedFileDescriptor {
    if stack.listeningInterface == nil {
      Terminal.error.noteLine(
        "\(stack.card) is below \(stack.upper.joined(separator: ", ")): taking a connection by any"
          + " interface")
    }
    return try accept(options, by: stack.listeningInterface)
  }

  /// Waits for the one connection, by that interface or by any.
  static func accept(
    _ options: RecvCommand, by interface: String?
  ) throws -> OwnedFileDescriptor {
    let listener = try listen(
      on: SendRun.endpoints(of: options.listen, port: options.transfer.port, "looking up")[0],
      interface: interface)
    Terminal.error.noteLine("listening on \(listener.local)")
    try Interruption.wait(for: listener.socket.descriptor.rawValue, Int16(POLLIN))
    return try CommandError.wrapping("accepting a connection on \(listener.local)") {
      () throws(Errno) in
      let descriptor = try listener.socket.accept().takeDescriptor()
      try descriptor.setBlocking(false)
      return descriptor
    }
  }

  /// Buffers out of our memory in the kernel's page pools, those without an interface among them.
  private static func poolInFlight(_ binding: NetdevBinding) throws -> UInt64 {
    var family = try DevmemNet.NetdevFamily()
    return try family.pagePools().filter { $0.dmabufID == binding.id }
      .reduce(0) { $0 + $1.inFlight }
  }

  /// The same after unbinding: the kernel looks once a second whether a pool has all its buffers
  /// back, and forgets it then.
  ///
  /// Packets that were read may still lie on a processor's list of packets to free.
  private static func settledPoolInFlight(_ binding: NetdevBinding) throws -> UInt64 {
    for _ in 0..<150 {
      if try poolInFlight(binding) == 0 { return 0 }
      DeferredPackets.free()
      usleep(20_000)
    }
    return try poolInFlight(binding)
  }
}
