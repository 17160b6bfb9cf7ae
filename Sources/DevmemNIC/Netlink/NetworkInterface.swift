// SPDX-License-Identifier: Apache-2.0

public import Devmem
internal import DevmemSystem

/// A network interface of the calling thread's network namespace (`struct net_device`): its name
/// and its number, as they were when it was looked up.
///
/// The kernel is asked by the number. So the value stands for the same interface after it was
/// renamed; after it was removed, every use is `.interfaceMissing`, even if another interface has
/// the name now.
public struct NetworkInterface: Hashable, Sendable, CustomStringConvertible {
  /// "eth0"
  public let name: String
  /// `ifindex`, >= 1.
  public let index: UInt32

  /// The interface of that name, or of that alternative name (`ip link property add … altname`).
  /// ``name`` is the kernel's in either case.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.interfaceMissing`.
  public init(named name: String) throws(DevmemError) {
    do throws(Errno) {
      self.init(name: name, index: try InterfaceNames.index(of: name))
    } catch {
      // The question above knows names of up to 15 bytes; alternative ones have up to 127.
      if error == .ENODEV, let found = (try? EthtoolFamily.interface(named: name)) ?? nil {
        self = found
        return
      }
      let operation = "looking for the network interface \(name)"
      guard error == .ENODEV else { throw .step(operation, NetlinkFailure(error)) }
      throw DevmemError(
        .interfaceMissing, operation, underlying: error,
        remedy: "The interfaces of this network namespace: ip -br link")
    }
  }

  /// The interface of that number.
  ///
  /// - Throws: ``/Devmem/DevmemError``: `.interfaceMissing`.
  public init(index: UInt32) throws(DevmemError) {
    do throws(Errno) {
      self.init(name: try InterfaceNames.name(of: index), index: index)
    } catch {
      let operation = "looking for the network interface number \(index)"
      // A full table of descriptors is no missing interface.
      guard error == .ENXIO else { throw .step(operation, NetlinkFailure(error)) }
      throw DevmemError(
        .interfaceMissing, operation, underlying: error,
        remedy: "The interfaces of this network namespace: ip -br link")
    }
  }

  /// For what has been looked up already.
  package init(name: String, index: UInt32) {
    self.name = name
    self.index = index
  }

  /// The name.
  public var description: String { name }
}
