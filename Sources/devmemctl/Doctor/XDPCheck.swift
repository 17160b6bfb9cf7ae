// SPDX-License-Identifier: Apache-2.0

import Glibc

/// AF_XDP sockets (CONFIG_XDP_SOCKETS), found out by opening one.
func checkXDP(_ probe: Probe) -> CheckResult {
  let name = "AF_XDP"
  switch probe.xdpSocketError() {
  case nil: return .ok(name, "a socket can be opened")
  case EPERM?, EACCES?:
    return .warn(
      name, "in this kernel, but opening a socket needs CAP_NET_RAW",
      fix: "sudo \(probe.program) doctor")
  case EAFNOSUPPORT?:
    return .warn(
      name, "not built into this kernel (CONFIG_XDP_SOCKETS)", probe.newerKernel)
  case let error?:
    return .warn(
      name, "a socket does not open: \(errorText(error))", fix: "sudo \(probe.program) doctor")
  }
}
