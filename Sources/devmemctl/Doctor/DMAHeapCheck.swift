// SPDX-License-Identifier: Apache-2.0

/// The dma-heaps: a second exporter, whose buffers have no memory file beneath.
func checkDMAHeaps(_ probe: Probe) -> CheckResult {
  let name = "dma-heaps"
  let heaps = probe.files.entries("/dev/dma_heap")
  guard !heaps.isEmpty else {
    return .warn(
      name, "no heap in /dev/dma_heap (CONFIG_DMABUF_HEAPS_SYSTEM)",
      fix: probe.newerKernelCommand)
  }
  let closed = heaps.filter { probe.openError("/dev/dma_heap/" + $0) != nil }
  if !closed.isEmpty {
    return .warn(
      name, "not open to this user: \(closed.joined(separator: ", "))",
      fix: "sudo setfacl -m u:\"$USER\":rw "
        + closed.map { "/dev/dma_heap/" + $0 }.joined(separator: " "))
  }
  return .ok(name, heaps.joined(separator: ", "))
}
