// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Synchronization
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
    let mapping = try #require(buffer.cpuMapping)
    var elsewhere = 0
    for offset in stride(from: 0, to: mapping.byteCount, by: pageSize.byteCount) {
      if try unsafe NUMANode.node(of: mapping.baseAddress + offset).rawValue != node {
        elsewhere += 1
      }
    }
    #expect(elsewhere == 0)
    #expect(try buffer.asImported().byteCount == 8 << 20)
  }

  @Test("what populates much memory of a node runs on that node's processors", arguments: [0, 1])
  func populatingThreads(node: Int) throws {
    let expected = try ProcessorSet.of(NUMANode(node)).description
    let isOver = DrainFlag()
    let watcher = Worker()
    let seen = Mutex<Set<String>>([])
    watcher.start {
      while !isOver.isSet {
        for task in (try? SystemFile.names(in: "/proc/self/task")) ?? [] {
          guard let text = try? SystemFile.text(at: "/proc/self/task/\(task)/status"),
            text.hasPrefix("Name:\tdevmem-populate\n"),
            let line = text.split(separator: "\n").first(where: {
              $0.hasPrefix("Cpus_allowed_list:")
            })
          else { continue }
          seen.withLock { _ = $0.insert(String(line.dropFirst("Cpus_allowed_list:\t".count))) }
        }
      }
    }
    let file = try MemoryFile(name: "node", byteCount: 256 << 20)
    let mapping = try file.mapPopulated(node: NUMANode(node))
    isOver.set()
    watcher.run {}
    watcher.stop()
    #expect(seen.withLock { $0 } == [expected])
    for offset in stride(from: 0, to: mapping.byteCount, by: 4 << 20) {
      #expect(try unsafe NUMANode.node(of: mapping.baseAddress + offset).rawValue == node)
    }
  }

  @Test("one dma-buf of huge pages from both nodes has a CPU mapping from its files")
  func bothNodes() throws {
    let files = try (0..<2).map { node in
      let file = try MemoryFile(name: "node\(node)", byteCount: 4 << 20, pageSize: .huge2M)
      _ = try file.mapPopulated(node: NUMANode(node))
      try file.addSeals()
      return file
    }
    let buffer = try DMABuf.udmabuf(scattering: files.map { .init(of: $0) })
    let mapping = try #require(buffer.cpuMapping)
    #expect(mapping.source == .memoryFile)
    #expect(buffer.pageSize == .huge2M)
    try buffer.fill(Pattern(3))
    #expect(try buffer.asImported().mismatchedPageCount(Pattern(3)) == 0)
    for offset in stride(from: 0, to: 8 << 20, by: 2 << 20) {
      #expect(
        try unsafe NUMANode.node(of: mapping.baseAddress + offset).rawValue == offset >> 22)
    }
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
