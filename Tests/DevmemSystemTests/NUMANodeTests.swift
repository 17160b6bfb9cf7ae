// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct NUMANodeTests {
  @Test("there is at least one node, and the preferred one is among them")
  func available() {
    #expect(!NUMANode.available().isEmpty)
    #expect(NUMANode.available().contains(NUMANode.preferred))
  }

  @Test("memory bound to a node lies there")
  func bound() throws {
    for node in NUMANode.available() {
      let file = try MemoryFile(name: "bound", byteCount: 16 * 4096)
      let mapping = try file.mapPopulated(node: node)
      guard NUMANode.isSupported else { continue }
      for page in 0..<16 {
        #expect(try unsafe NUMANode.node(of: mapping.baseAddress + page * 4096) == node)
      }
      let (total, free) = try node.memory()
      #expect(total > 0 && free <= total)
    }
  }

  @Test("a node that does not exist is EINVAL", arguments: [-1, 4095, Int.max])
  func missing(number: Int) throws {
    let mapping = try MemoryMapping.anonymous(byteCount: 4096)
    #expect(throws: Errno.EINVAL) { try mapping.bind(to: NUMANode(number)) }
  }
}
