// SPDX-License-Identifier: Apache-2.0

/// NUMA nodes with memory; one is fine, none means that sysfs hides them.
func checkNUMA(_ probe: Probe) -> CheckResult {
  let name = "NUMA nodes"
  let nodes = probe.files.entries("/sys/devices/system/node")
    .filter { $0.hasPrefix("node") }
    .compactMap { Int($0.dropFirst(4)) }
    .sorted()
  guard !nodes.isEmpty else {
    return .warn(
      name, "none listed in /sys/devices/system/node; --node has no effect",
      fix: "ls /sys/devices/system/node")
  }
  let described = nodes.map { node in
    let text = probe.files.text("/sys/devices/system/node/node\(node)/meminfo") ?? ""
    let words =
      text.split(separator: "\n").first { $0.contains("MemTotal:") }?
      .split(separator: " ") ?? []
    guard let kilobytes = words.compactMap({ Int($0) }).last else { return "node \(node)" }
    return "node \(node) (\(ByteCount(kilobytes << 10)))"
  }
  return .ok(name, described.joined(separator: ", "))
}
