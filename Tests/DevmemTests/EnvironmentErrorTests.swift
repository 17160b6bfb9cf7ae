// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Errors that come from where a process runs: containers, filters, limits.
@Suite struct EnvironmentErrorTests {
  @Test("an absent node is not an absent driver")
  func absentNode() throws {
    let files = try MadeUpFiles([
      "/proc/misc": "236 device-mapper\n122 udmabuf\n",
      "/proc/devices": "Character devices:\n  1 mem\n250 dma_heap\n226 drm\n",
    ])
    let nodes = [
      DeviceNode(path: "/dev/udmabuf", listing: .misc("udmabuf"), root: files.root),
      DeviceNode(path: "/dev/dma_heap/system", listing: .character("dma_heap"), root: files.root),
      DeviceNode(path: "/dev/dri/card0", listing: .character("drm"), root: files.root),
    ]
    for node in nodes {
      #expect(node.isInKernel == true)
      #expect(node.absentRemedy?.contains("docker run --device \(node.path)") == true)
    }
    let without = try MadeUpFiles(["/proc/misc": "236 device-mapper\n"])
    let none = DeviceNode(path: "/dev/udmabuf", listing: .misc("udmabuf"), root: without.root)
    #expect(none.isInKernel == false)
    #expect(none.absentRemedy == nil)
    let unknown = DeviceNode(path: "/dev/udmabuf", listing: .misc("udmabuf"), root: "/nowhere")
    #expect(unknown.isInKernel == nil)
  }

  @Test("root that is refused is not told to join a group, and others are")
  func refusedNode() {
    let remedy = DeviceNode.udmabuf.refusedRemedy(group: "kvm")
    let isRoot = SystemProcess.effectiveUser == 0
    #expect(remedy.contains("usermod") == !isRoot)
    #expect(remedy.contains("docker run --device /dev/udmabuf") == isRoot)
  }

  @Test(
    "where mbind is refused, memory is made without a node, and with one the error says what to do")
  func filteredNUMA() async {
    await #expect(processExitsWith: .success) {
      var calls = [Int32](repeating: 0, count: 4)
      let count = unsafe ctest_numa_calls(&calls)
      precondition(unsafe ctest_refuse_calls(calls, count, EPERM) == 0)
      _ = try DMABuf.memoryFile(byteCount: 1 << 20)
      guard NUMANode.isSupported else { return }
      let held = try ResourceCount.now()
      do throws(DevmemError) {
        _ = try DMABuf.memoryFile(byteCount: 1 << 20, node: NUMANode.available()[0].rawValue)
        fatalError("mbind was not refused")
      } catch {
        precondition(error.code == .permissionDenied, "\(error)")
        precondition(error.remedy?.contains("SYS_NICE") == true, "\(error)")
      }
      let now = try ResourceCount.now()
      precondition(now == held)
    }
  }

  @Test("a limit on the size of files is named, and nothing is left behind")
  func fileSize() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
      precondition(unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0)
      let held = try ResourceCount.now()
      do throws(DevmemError) {
        _ = try DMABuf.memoryFile(byteCount: 2 << 20)
        fatalError("it grew")
      } catch {
        precondition(error.code == .outOfMemory, "\(error)")
        precondition(error.remedy?.contains("ulimit -f unlimited") == true, "\(error)")
      }
      let now = try ResourceCount.now()
      precondition(now == held)
    }
  }

  @Test("base pages are the kernel's")
  func basePages() {
    #expect(PageSize.base4K.byteCount == sysconf(Int32(_SC_PAGESIZE)))
  }
}
