// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC

/// The kernel's page pools and what they have done.
struct PoolListing {
  var pools: [KernelPagePool]
  /// By pool; empty where the kernel counts nothing (CONFIG_PAGE_POOL_STATS).
  var statistics: [UInt64: PagePool.Statistics]

  /// Asks the kernel; nil is all interfaces.
  init(of interface: NetworkInterface?) throws(DevmemError) {
    var family = try NetdevFamily()
    pools = try family.pagePools(of: interface).sorted { $0.id < $1.id }
    statistics = [:]
    do throws(DevmemError) {
      for entry in try family.pagePoolStatistics(of: interface) {
        statistics[entry.poolID] = entry.counters
      }
    } catch {
      guard error.code == .kernelUnsupported else { throw error }
    }
  }

  var json: JSONValue {
    .object([
      (
        "pools",
        .array(
          pools.map { pool in
            let counters = statistics[pool.id]?.kernelCounters ?? []
            let members: [(key: String, value: JSONValue)] = counters.map {
              ($0.name, .integer(Int(clamping: $0.value)))
            }
            return .object(
              pool.members + [
                ("statistics", statistics[pool.id] == nil ? .null : .object(members))
              ])
          })
      )
    ])
  }

  func table(for terminal: Terminal) -> String {
    let counterNames = PagePool.Statistics.kernelCounterNames
    var table = Table(
      titles: ["ID", "INTERFACE", "DMABUF", "IN FLIGHT", "BYTES", "DETACHED"]
        + (statistics.isEmpty ? [] : counterNames))
    table.numeric = Set([0, 2, 3, 4, 5] + Array(6..<6 + counterNames.count))
    for pool in pools {
      var row = [
        "\(pool.id)", pool.interfaceName ?? "(gone)", pool.dmabufID.map { "\($0)" } ?? "-",
        "\(pool.inFlight)", "\(ByteCount(Int(clamping: pool.inFlightByteCount)))",
        pool.detachTime.map { "at \($0) s" } ?? "-",
      ]
      if !statistics.isEmpty {
        row +=
          statistics[pool.id]?.kernelCounters.map { "\($0.value)" }
          ?? counterNames.map { _ in "-" }
      }
      table.rows.append(row)
    }
    if pools.isEmpty { return "The kernel has no page pools here.\n" }
    return table.text(for: terminal)
      + (statistics.isEmpty ? "This kernel counts nothing (CONFIG_PAGE_POOL_STATS).\n" : "")
  }
}

extension KernelPagePool {
  /// The name that the interface has now; nil where it has gone.
  var interfaceName: String? {
    interfaceIndex.flatMap { index in (try? NetworkInterface(index: index))?.name }
  }

  /// For a JSON object.
  var members: [(key: String, value: JSONValue)] {
    [
      ("id", .integer(Int(clamping: id))),
      ("interface", interfaceName.map { .string($0) } ?? .null),
      ("dmabuf", dmabufID.map { .integer(Int($0)) } ?? .null),
      ("inflight", .integer(Int(clamping: inFlight))),
      ("inflightMem", .integer(Int(clamping: inFlightByteCount))),
      ("detachTime", detachTime.map { .integer(Int(clamping: $0)) } ?? .null),
    ]
  }
}

extension PagePool.Statistics {
  /// The eleven counters of `page-pool-stats-get`, in its order and by its names.
  var kernelCounters: [(name: String, value: UInt64)] {
    let values = [
      alloc.fast, alloc.slow, alloc.slowHighOrder, alloc.empty, alloc.refill, alloc.waive,
      recycle.cached, recycle.cacheFull, recycle.ring, recycle.ringFull, recycle.releasedRefcnt,
    ]
    return Array(zip(Self.kernelCounterNames, values)).map { (name: $0.0, value: $0.1) }
  }

  static let kernelCounterNames = [
    "alloc-fast", "alloc-slow", "alloc-slow-high-order", "alloc-empty", "alloc-refill",
    "alloc-waive", "recycle-cached", "recycle-cache-full", "recycle-ring", "recycle-ring-full",
    "recycle-released-refcnt",
  ]
}

extension NetdevEvent {
  /// The kernel's name of it.
  private var name: String {
    switch self {
    case .deviceAdded: "dev-add"
    case .deviceRemoved: "dev-del"
    case .deviceChanged: "dev-change"
    case .pagePoolAdded: "page-pool-add"
    case .pagePoolRemoved: "page-pool-del"
    case .pagePoolChanged: "page-pool-change"
    }
  }

  private var pool: KernelPagePool? {
    switch self {
    case .pagePoolAdded(let pool), .pagePoolRemoved(let pool), .pagePoolChanged(let pool): pool
    default: nil
    }
  }

  /// Of the interface; nil for a pool whose interface has gone.
  var interfaceIndex: UInt32? {
    switch self {
    case .deviceAdded(let device), .deviceRemoved(let device), .deviceChanged(let device):
      device.interfaceIndex
    default: pool?.interfaceIndex
    }
  }

  /// "page-pool-add dmsim0 pool 12 dmabuf 3 in flight 0".
  var line: String {
    let interface =
      interfaceIndex.map { (try? NetworkInterface(index: $0))?.name ?? "#\($0)" } ?? "(gone)"
    guard let pool else { return "\(name) \(interface)" }
    return "\(name) \(interface) pool \(pool.id)" + (pool.dmabufID.map { " dmabuf \($0)" } ?? "")
      + " in flight \(pool.inFlight)"
  }

  var json: JSONValue {
    let event: (key: String, value: JSONValue) = ("event", .string(name))
    if let pool { return .object([event] + pool.members) }
    return .object([
      event, ("interfaceIndex", interfaceIndex.map { .integer(Int($0)) } ?? .null),
    ])
  }
}
