// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Testing

/// Two nodes at least, which the virtual machine has.
@Suite("NUMA placement", .serialized) struct NUMATests {
  @Test("there are two nodes")
  func nodes() {
    #expect(NUMANode.isSupported)
    #expect(NUMANode.available().count >= 2)
  }

  @Test(
    "every page of a udmabuf lies on the node that was asked for",
    arguments: [PageSize.base4K, .huge2M], [0, 1])
  func placement(pageSize: PageSize, node: Int) throws {
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20, pageSize: pageSize, node: node)
    #expect(buffer.requestedNode == node)
    let face = try #require(buffer.cpuFace)
    var elsewhere = 0
    for offset in stride(from: 0, to: face.byteCount, by: pageSize.byteCount) {
      if try unsafe NUMANode.node(of: face.baseAddress + offset).rawValue != node {
        elsewhere += 1
      }
    }
    #expect(elsewhere == 0)
    #expect(try buffer.asImported().byteCount == 8 << 20)
  }

  @Test("more huge pages than a node has are refused with the node's own file")
  func exhausted() throws {
    let folder = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB"
    let free = Int(
      try SystemFile.text(at: "\(folder)/free_hugepages").prefix { !$0.isWhitespace })!
    let error = #expect(throws: DevmemError.self) {
      _ = try DMABuf.udmabuf(byteCount: (free + 1) << 21, pageSize: .huge2M, node: 1)
    }
    #expect(error?.code == .noHugePages)
    #expect(
      error?.remedy?.contains("echo \(free + 1) | sudo tee \(folder)/nr_hugepages") == true)
    let after = Int(
      try SystemFile.text(at: "\(folder)/free_hugepages").prefix { !$0.isWhitespace })!
    #expect(after == free, "huge pages came back")
  }

  @Test("a node that is not there is refused before any device is opened")
  func missing() {
    let counts = SystemCallSeam.counting {
      let error = #expect(throws: DevmemError.self) {
        _ = try DMABuf.udmabuf(byteCount: 4096, node: 7)
      }
      #expect(error?.code == .noSuchNode)
    }
    #expect(counts[.open] == nil)
  }
}
