// SPDX-License-Identifier: Apache-2.0

/// Device memory TCP in the kernel (CONFIG_NET_DEVMEM, 6.12 and later).
///
/// The build configuration decides where it can be read. Otherwise the netdev netlink family is
/// asked for its `bind-rx` command: without it there is surely no support. With it the answer stays
/// unknown, because the command is listed even where the option is off (it then refuses).
func checkNetDevmem(_ probe: Probe) -> CheckResult {
  let name = "NET_DEVMEM"
  switch probe.kernelOption("CONFIG_NET_DEVMEM") {
  case "y"?: return .ok(name, "built into this kernel")
  case "n"?:
    return .warn(
      name, "not built into this kernel: no devmem TCP", probe.newerKernel)
  default: break
  }
  switch probe.bindReceiveCommand() {
  case .absent:
    return .warn(
      name, "the netdev netlink family has no bind-rx: no devmem TCP",
      probe.newerKernel)
  case .present:
    return .warn(
      name, "unknown: bind-rx is there, but no kernel configuration to confirm it",
      fix: "grep NET_DEVMEM /boot/config-\(probe.kernelRelease)")
  case .unknown(let reason):
    return .warn(
      name, "unknown: \(reason)", fix: "grep NET_DEVMEM /boot/config-\(probe.kernelRelease)")
  }
}
