// SPDX-License-Identifier: Apache-2.0

internal import CSystemShims

/// A NUMA node, through libnuma. On a kernel without NUMA node 0 is all memory.
package struct NUMANode: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
  /// The node's number, >= 0.
  package let rawValue: Int

  /// Names a node by number, whether it exists or not.
  package init(rawValue: Int) {
    self.rawValue = rawValue
  }

  /// Names a node by number, whether it exists or not.
  package init(_ number: Int) {
    self.rawValue = number
  }

  /// The node's number.
  package var description: String { "\(rawValue)" }

  /// Whether the kernel has NUMA system calls.
  package static var isSupported: Bool { csystem_numa_is_available() != 0 }

  /// The nodes that this process may allocate on, ascending; never empty.
  package static func available() -> [NUMANode] {
    (0..<Int(csystem_numa_node_limit()))
      .filter { csystem_numa_may_use(Int32($0)) != 0 }
      .map { NUMANode($0) }
  }

  /// The node that the calling thread allocates from first.
  package static var preferred: NUMANode { NUMANode(Int(csystem_numa_preferred())) }

  /// Bytes of memory that the node has, and that are free.
  ///
  /// - Throws: `ENODEV` if there is no such node or no NUMA at all.
  package func memory() throws(Errno) -> (totalByteCount: UInt64, freeByteCount: UInt64) {
    let (total, free) = try system_numaMemory(rawValue)
    return (total, free)
  }

  /// Makes pages of the range that do not exist yet come from `node` alone (`mbind(MPOL_BIND)`).
  /// On a kernel without NUMA, node 0 is where they come from anyway.
  ///
  /// - Throws: `EINVAL` if there is no such node, `EPERM` where a filter of system calls refuses
  ///   it.
  @unsafe package static func bind(
    _ address: UnsafeMutableRawPointer, byteCount: Int, to node: NUMANode
  ) throws(Errno) {
    guard node.rawValue >= 0, node.rawValue <= Int(Int32.max) else { throw .EINVAL }
    if !isSupported {
      guard node.rawValue == 0 else { throw .EINVAL }
      return
    }
    try unsafe system_numaBind(address, byteCount: byteCount, node: node.rawValue)
  }

  /// The node that holds the page of an address (`move_pages(2)` without moving).
  ///
  /// - Throws: `ENOENT` if the page does not exist yet, `EFAULT` if nothing is mapped there or on a
  ///   `VM_PFNMAP` mapping, `ENOSYS` without NUMA.
  @unsafe package static func node(of address: UnsafeRawPointer) throws(Errno) -> NUMANode {
    NUMANode(try unsafe system_numaNodeOf(address))
  }
}
