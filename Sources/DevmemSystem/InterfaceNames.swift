// SPDX-License-Identifier: Apache-2.0

/// Names and numbers of network interfaces, in the network namespace of the calling thread.
package enum InterfaceNames {
  /// The number of an interface, >= 1 (`if_nametoindex(3)`).
  ///
  /// - Throws: `ENODEV` if there is none of that name.
  package static func index(of name: String) throws(Errno) -> UInt32 {
    try system_interfaceIndex(name)
  }

  /// The name of an interface (`if_indextoname(3)`).
  ///
  /// - Throws: `ENXIO` if there is none of that number.
  package static func name(of index: UInt32) throws(Errno) -> String {
    try system_interfaceName(index)
  }
}
