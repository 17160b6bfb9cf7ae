// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import DevmemSystem
import Glibc
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

  @Test("where a filter refuses the questions, there is a node, and nothing is written anywhere")
  func filtered() async {
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardErrorContent, \.standardOutputContent]
    ) {
      var calls = [Int32](repeating: 0, count: 4)
      let count = unsafe ctest_numa_calls(&calls)
      precondition(unsafe ctest_refuse_calls(calls, count, EPERM) == 0)
      precondition(!NUMANode.available().isEmpty)
      precondition(NUMANode.available().contains(NUMANode.preferred))
      let mapping = try MemoryMapping.anonymous(byteCount: 4096)
      if NUMANode.isSupported {
        do throws(Errno) {
          try mapping.bind(to: NUMANode.available()[0])
          fatalError("mbind was not refused")
        } catch {
          precondition(error == .EPERM)
        }
      }
      do throws(Errno) {
        _ = unsafe try NUMANode.node(of: mapping.baseAddress)
      } catch {
        precondition(error == .EPERM || error == .ENOSYS)
      }
    }
    #expect(result?.standardErrorContent.isEmpty == true)
    #expect(result?.standardOutputContent.isEmpty == true)
  }

  @Test("the preferred node is one that the process may use")
  func preferredIsAllowed() {
    #expect(NUMANode.available().contains(NUMANode.preferred))
  }
}
