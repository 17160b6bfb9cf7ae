// SPDX-License-Identifier: Apache-2.0

/// Drivers that implement `queue_mgmt_ops` with unreadable page pools, so that `bind-rx` can work
/// on their queues. The kernel reports this nowhere, hence a list: drivers known to set
/// PP_FLAG_ALLOW_UNREADABLE_NETMEM. An interface of another driver is worth a try all the same.
private let deviceMemoryDrivers: Set<String> = [
  "bnxt_en", "fbnic", "gve", "ice", "idpf", "mlx5_core",
]

/// Network interfaces whose driver could bind device memory to a receive queue.
func checkInterfaces(_ probe: Probe) -> CheckResult {
  let name = "interfaces"
  let folder = "/sys/class/net"
  let interfaces = probe.files.entries(folder).map { interface in
    (name: interface, driver: probe.files.linkName("\(folder)/\(interface)/device/driver"))
  }
  let able = interfaces.filter { $0.driver.map(deviceMemoryDrivers.contains) ?? false }
  if !able.isEmpty {
    return .ok(
      name,
      "could bind device memory: "
        + able.map { "\($0.name) (\($0.driver ?? ""))" }.joined(separator: ", "))
  }
  let listed = interfaces.map { "\($0.name) (\($0.driver ?? "virtual"))" }
  return .warn(
    name,
    listed.isEmpty
      ? "none" : "none is known to bind device memory: " + listed.joined(separator: ", "),
    fix: "ethtool -i IFACE  # known drivers: "
      + deviceMemoryDrivers.sorted().joined(separator: ", "))
}
