// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

// Questions: none needs a privilege. All of them throw DevmemError.Code.kernelUnsupported where the
// kernel does not know the command, interfaceMissing where the interface has gone, noAnswer.
extension NetdevFamily {
  /// All network devices (`dev-get`).
  package mutating func devices() throws(DevmemError) -> [NetdevDevice] {
    try dump(.deviceGet, "listing the network devices", nil) { _ in }.compactMap(NetdevDevice.init)
  }

  /// One network device (`dev-get`).
  package mutating func device(
    _ interface: NetworkInterface
  ) throws(DevmemError) -> NetdevDevice {
    try one(.deviceGet, "asking about \(interface)", interface, NetdevDevice.init) {
      $0.append(NetdevDeviceAttribute.interfaceIndex, uint32: interface.index)
    }
  }

  /// The queues of an interface, or of all (`queue-get`). An interface that is down has none.
  package mutating func queues(
    of interface: NetworkInterface? = nil
  ) throws(DevmemError) -> [NetdevQueue] {
    let whose = interface.map { " of \($0)" } ?? ""
    return try dump(.queueGet, "listing the queues\(whose)", interface) { request in
      if let interface {
        request.append(NetdevQueueAttribute.interfaceIndex, uint32: interface.index)
      }
    }.compactMap(NetdevQueue.init)
  }

  /// One queue (`queue-get`).
  ///
  /// - Throws: also ``DevmemError/Code/queueMissing``.
  package mutating func queue(
    _ kind: NetdevQueue.Kind, _ id: UInt32, of interface: NetworkInterface
  ) throws(DevmemError) -> NetdevQueue {
    try one(
      .queueGet, "asking about queue \(id) of \(interface)", interface, NetdevQueue.init,
      refusals: [.ENOENT: .queueMissing, .EINVAL: .queueMissing]
    ) { request in
      request.append(NetdevQueueAttribute.interfaceIndex, uint32: interface.index)
      request.append(NetdevQueueAttribute.type, uint32: kind.rawValue)
      request.append(NetdevQueueAttribute.id, uint32: id)
    }
  }

  /// The kernel's page pools, of an interface or all (`page-pool-get`).
  ///
  /// Without an interface, pools are among them whose interface has gone.
  package mutating func pagePools(
    of interface: NetworkInterface? = nil
  ) throws(DevmemError) -> [KernelPagePool] {
    let whose = interface.map { " of \($0)" } ?? ""
    return try dump(.pagePoolGet, "listing the page pools\(whose)", interface) { request in
      if let interface {
        request.append(NetdevPagePoolAttribute.interfaceIndex, uint32: interface.index)
      }
    }.compactMap(KernelPagePool.init)
  }

  /// One of the kernel's page pools (`page-pool-get`).
  ///
  /// - Throws: also ``DevmemError/Code/poolMissing``.
  package mutating func pagePool(_ id: UInt64) throws(DevmemError) -> KernelPagePool {
    try one(
      .pagePoolGet, "asking about page pool \(id)", nil, KernelPagePool.init,
      refusals: [.ENOENT: .poolMissing, .ERANGE: .poolMissing]
    ) { $0.append(NetdevPagePoolAttribute.id, unsigned: id) }
  }

  /// What the kernel's page pools have done, of an interface or all (`page-pool-stats-get`).
  ///
  /// - Throws: also ``DevmemError/Code/kernelUnsupported`` without CONFIG_PAGE_POOL_STATS.
  package mutating func pagePoolStatistics(
    of interface: NetworkInterface? = nil
  ) throws(DevmemError) -> [KernelPagePool.Statistics] {
    let whose = interface.map { " of \($0)" } ?? ""
    return try dump(
      .pagePoolStatisticsGet, "reading the statistics of the page pools\(whose)", interface
    ) { request in
      guard let interface else { return }
      request.append(NetdevPagePoolStatisticsAttribute.info) {
        $0.append(NetdevPagePoolAttribute.interfaceIndex, uint32: interface.index)
      }
    }.compactMap(KernelPagePool.Statistics.init)
  }

  /// What one of the kernel's page pools has done (`page-pool-stats-get`).
  ///
  /// - Throws: also ``DevmemError/Code/poolMissing``, and
  ///   ``DevmemError/Code/kernelUnsupported`` without CONFIG_PAGE_POOL_STATS.
  package mutating func pagePoolStatistics(
    _ id: UInt64
  ) throws(DevmemError) -> KernelPagePool.Statistics {
    try one(
      .pagePoolStatisticsGet, "reading the statistics of page pool \(id)", nil,
      KernelPagePool.Statistics.init, refusals: [.ENOENT: .poolMissing, .ERANGE: .poolMissing]
    ) { request in
      request.append(NetdevPagePoolStatisticsAttribute.info) {
        $0.append(NetdevPagePoolAttribute.id, unsigned: id)
      }
    }
  }

  /// Counters of an interface or of all (`qstats-get`); those whose driver counts nothing are left
  /// out.
  ///
  /// - Parameter perQueue: one entry a queue instead of one for each device.
  package mutating func queueStatistics(
    of interface: NetworkInterface? = nil, perQueue: Bool = false
  ) throws(DevmemError) -> [NetdevQueueStatistics] {
    let whose = interface.map { " of \($0)" } ?? ""
    return try dump(
      .queueStatisticsGet, "reading the queue statistics\(whose)", interface,
      refusals: [.EOPNOTSUPP: .settingUnsupported]
    ) { request in
      if let interface {
        request.append(NetdevQueueStatisticsAttribute.interfaceIndex, uint32: interface.index)
      }
      // NETDEV_QSTATS_SCOPE_QUEUE
      if perQueue { request.append(NetdevQueueStatisticsAttribute.scope, unsigned: 1) }
    }.compactMap(NetdevQueueStatistics.init)
  }

  /// The NAPI instances of an interface, or of all (`napi-get`).
  package mutating func napis(
    of interface: NetworkInterface? = nil
  ) throws(DevmemError) -> [NetdevNAPI] {
    let whose = interface.map { " of \($0)" } ?? ""
    return try dump(.napiGet, "listing the NAPI instances\(whose)", interface) { request in
      if let interface {
        request.append(NetdevNAPIAttribute.interfaceIndex, uint32: interface.index)
      }
    }.compactMap(NetdevNAPI.init)
  }

  private mutating func dump(
    _ command: NetdevCommand, _ operation: String, _ interface: NetworkInterface?,
    refusals: [Errno: DevmemError.Code] = [:], _ fill: (inout NetlinkRequest) -> Void
  ) throws(DevmemError) -> [NetlinkAttributes] {
    try ask(command, operation, interface, refusals, fill) {
      socket, request throws(NetlinkFailure) in try socket.dump(request)
    }
  }

  private mutating func one<Answer>(
    _ command: NetdevCommand, _ operation: String, _ interface: NetworkInterface?,
    _ read: (NetlinkAttributes) -> Answer?, refusals: [Errno: DevmemError.Code] = [:],
    _ fill: (inout NetlinkRequest) -> Void
  ) throws(DevmemError) -> Answer {
    let answers = try ask(command, operation, interface, refusals, fill) {
      socket, request throws(NetlinkFailure) in try socket.request(request)
    }
    if let answer = answers.first.flatMap(read) { return answer }
    throw DevmemError(
      .systemCall, operation, interface: interface, underlying: .EIO,
      cause: "the kernel's answer is empty")
  }

  private mutating func ask(
    _ command: NetdevCommand, _ operation: String, _ interface: NetworkInterface?,
    _ refusals: [Errno: DevmemError.Code], _ fill: (inout NetlinkRequest) -> Void,
    _ send: (inout NetlinkSocket, NetlinkRequest) throws(NetlinkFailure) -> [NetlinkMessage]
  ) throws(DevmemError) -> [NetlinkAttributes] {
    guard has(command) else {
      throw .commandMissing(command.name, operation, interface: interface)
    }
    var request = family.request(command)
    fill(&request)
    do throws(NetlinkFailure) {
      return try send(&socket, request).map(\.attributes)
    } catch {
      let code = refusals[error.errno] ?? (error.errno == .EOPNOTSUPP ? .kernelUnsupported : nil)
      throw .step(operation, interface: interface, error, otherwise: code ?? .systemCall)
    }
  }
}
