// SPDX-License-Identifier: Apache-2.0

/// The running kernel: old enough to lack udmabuf altogether, or older than what we test on.
func checkKernel(_ probe: Probe) -> CheckResult {
  let name = "kernel"
  guard let version = probe.kernelVersion else {
    return .warn(
      name, "\(probe.kernelRelease): not a release number we understand", fix: "uname -r")
  }
  // udmabuf came with 4.20.
  if version < (4, 20) {
    return .fail(
      name, "\(probe.kernelRelease) has no udmabuf (4.20 brought it)",
      probe.newerKernel)
  }
  // 6.11 pins through memfd_pin_folios and makes the dma-buf's mapping VM_PFNMAP; what is
  // documented and tested here is that behaviour.
  if version < (6, 11) {
    return .warn(
      name, "\(probe.kernelRelease) is older than 6.11, which this package is tested on",
      probe.newerKernel)
  }
  return .ok(name, probe.kernelRelease)
}
