// SPDX-License-Identifier: Apache-2.0

package import Devmem
internal import DevmemSystem

/// The kernel's netdev family of generic netlink: network devices, their queues and page pools, and
/// the binding of dma-bufs (Documentation/netlink/specs/netdev.yaml, net/core/netdev-genl.c).
///
/// Speaks of the network namespace of the thread that makes it. One thread at a time may use it.
/// Asking needs no privilege; binding to receive queues does.
package struct NetdevFamily: ~Copyable, Sendable {
  var socket: NetlinkSocket
  let family: GenericNetlinkFamily

  /// Opens a socket and looks the family up.
  ///
  /// - Throws: ``DevmemError/Code/kernelUnsupported`` (before Linux 6.3, or without networking),
  ///   ``DevmemError/Code/descriptorLimit``.
  package init() throws(DevmemError) {
    do throws(NetlinkFailure) {
      var socket = try NetlinkFailure.wrapping { () throws(Errno) in try NetlinkSocket() }
      family = try socket.family(named: "netdev")
      self.socket = socket
    } catch {
      throw DevmemError.openingFamily("netdev", error)
    }
  }

  /// Whether this kernel lists `bind-rx`. It may refuse all the same, where it was built without
  /// CONFIG_NET_DEVMEM.
  package var hasBindReceive: Bool { has(.bindReceive) }

  /// Whether this kernel lists `bind-tx`; as ``hasBindReceive``.
  package var hasBindTransmit: Bool { has(.bindTransmit) }

  func has(_ command: NetdevCommand) -> Bool { family.commands.contains(command.rawValue) }
}
