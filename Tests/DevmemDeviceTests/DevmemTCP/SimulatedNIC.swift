// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import Foundation
import Testing

/// The near end of the software network card as the tests of bindings and settings need it; the
/// suite's trait `.onDevmemSim` has loaded it.
struct SimulatedNIC {
  let interface: NetworkInterface

  /// The first of its two devices, up.
  init() throws {
    interface = try NetworkInterface(named: DevmemSim.here.interface)
    try setUp(true)
  }

  /// Brings the interface up or down, by the flags that sysfs shows (`IFF_UP` is bit 0).
  func setUp(_ isUp: Bool) throws {
    let path = "/sys/class/net/\(interface)/flags"
    let text = try SystemFile.text(at: path).dropFirst(2).prefix { !$0.isWhitespace }
    let flags = try #require(UInt32(text, radix: 16))
    let wanted = isUp ? flags | 1 : flags & ~1
    if wanted != flags {
      try "0x\(String(wanted, radix: 16))".write(toFile: path, atomically: false, encoding: .utf8)
    }
  }

  /// Runs the body while headers are split, and puts the setting back.
  func withHeaderSplit<Result>(_ body: () throws -> Result) throws -> Result {
    var ethtool = try EthtoolFamily()
    let old = try ethtool.rings(of: interface)
    try ethtool.setHeaderSplit(of: interface, dataSplit: .enabled, threshold: 0)
    let result = Swift.Result { try body() }
    try ethtool.setHeaderSplit(
      of: interface, dataSplit: old.dataSplit, threshold: old.headerSplitThreshold)
    return try result.get()
  }

  /// The error that the body ends with; recorded as an issue if it does not.
  func error<Result: ~Copyable>(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws(DevmemError) -> Result
  ) -> DevmemError? {
    do throws(DevmemError) {
      _ = try body()
      Issue.record("nothing was refused", sourceLocation: sourceLocation)
      return nil
    } catch {
      return error
    }
  }
}
