// SPDX-License-Identifier: Apache-2.0

import Devmem

/// The dma-heaps: a second exporter, whose buffers have no memory file beneath.
func checkDMAHeaps(_ probe: Probe) -> CheckResult {
  let name = "dma-heaps"
  let heaps = probe.files.entries("/dev/dma_heap")
  guard !heaps.isEmpty else {
    let node = DeviceNode(
      path: "/dev/dma_heap/system", listing: .character("dma_heap"), root: probe.files.root)
    if let remedy = node.absentRemedy {
      return .warn(name, "no node in /dev/dma_heap, although the kernel has heaps", .advice(remedy))
    }
    return .warn(
      name, "no heap in /dev/dma_heap (CONFIG_DMABUF_HEAPS_SYSTEM)",
      probe.newerKernel)
  }
  let closed = heaps.filter { probe.openError("/dev/dma_heap/" + $0) != nil }
  if !closed.isEmpty, probe.isRoot {
    return .warn(
      name, "refused to root: \(closed.joined(separator: ", "))",
      .advice(DeviceNode.heap(closed[0]).refusedRemedy(group: nil)))
  }
  if !closed.isEmpty {
    return .warn(
      name, "not open to this user: \(closed.joined(separator: ", "))",
      fix: "sudo setfacl -m u:\"$USER\":rw "
        + closed.map { "/dev/dma_heap/" + $0 }.joined(separator: " "))
  }
  return .ok(name, heaps.joined(separator: ", "))
}
