// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// A NAPI instance, which serves queues (`napi-get`).
package struct NetdevNAPI: Hashable, Sendable {
  /// The instance's number, >= 1; what SO_INCOMING_NAPI_ID of a socket shows.
  package let id: UInt32
  /// `ifindex`
  package let interfaceIndex: UInt32
  /// The interrupt; nil without one.
  package let interrupt: UInt32?
  /// The thread that polls, where it is threaded.
  package let processID: UInt32?

  /// nil if it names no instance.
  init?(_ attributes: NetlinkAttributes) {
    guard let id = attributes[NetdevNAPIAttribute.id]?.uint32,
      let index = attributes[NetdevNAPIAttribute.interfaceIndex]?.uint32
    else { return nil }
    self.id = id
    interfaceIndex = index
    interrupt = attributes[NetdevNAPIAttribute.interrupt]?.uint32
    processID = attributes[NetdevNAPIAttribute.processID]?.uint32
  }
}
