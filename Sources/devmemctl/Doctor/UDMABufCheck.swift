// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

/// The udmabuf node: there, and open to us.
func checkUDMABuf(_ probe: Probe) -> CheckResult {
  let name = "udmabuf"
  let path = "/dev/udmabuf"
  let node = DeviceNode(path: path, listing: .misc("udmabuf"), root: probe.files.root)
  guard probe.files.exists(path) else {
    if let remedy = node.absentRemedy {
      return .fail(name, "\(path) is missing, although the kernel has udmabuf", .advice(remedy))
    }
    // Built in or not at all: udmabuf is a `bool` option, there is no module to load.
    let why =
      probe.kernelOption("CONFIG_UDMABUF") == "n"
      ? "\(path) is missing: this kernel is built without CONFIG_UDMABUF"
      : "\(path) is missing"
    return .fail(name, why, probe.newerKernel)
  }
  switch probe.openError(path) {
  case nil: return .ok(name, "\(path) opens for reading and writing")
  case EACCES?, EPERM?:
    if probe.isRoot {
      return .fail(
        name, "\(path) is there, but root is refused", .advice(node.refusedRemedy(group: nil)))
    }
    return .fail(
      name, "\(path) is there, but not for this user (udev gives it to group kvm)",
      fix: "sudo usermod -aG kvm \"$USER\"  # then log in again, or run under sudo")
  case let error?:
    return .fail(
      name, "\(path) does not open: \(errorText(error))",
      fix: "ls -l \(path); sudo dmesg | tail")
  }
}

/// The module parameters that bound one dma-buf, against what the demo asks for.
func checkUDMABufLimits(_ probe: Probe) -> CheckResult {
  let name = "udmabuf limits"
  let folder = "/sys/module/udmabuf/parameters"
  guard probe.files.exists("/sys/module/udmabuf") else {
    return .warn(name, "no udmabuf in this kernel", probe.newerKernel)
  }
  guard let entries = probe.files.integer(folder + "/list_limit"),
    let megabytes = probe.files.integer(folder + "/size_limit_mb")
  else {
    return .warn(
      name, "\(folder) is not readable, so the limits are unknown", fix: "ls -l \(folder)")
  }
  let summary = "up to \(megabytes) MiB and \(entries) ranges in one dma-buf"
  // The demo's pool is 64 MiB, the kernel's default up to 6.12.
  if megabytes < 64 {
    return .warn(
      name, summary + "; the demo wants 64 MiB",
      fix: "echo 1024 | sudo tee \(folder)/size_limit_mb")
  }
  return .ok(name, summary)
}

/// "Permission denied" for EACCES.
func errorText(_ error: Int32) -> String { Errno(rawValue: error).text }
