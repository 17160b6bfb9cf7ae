// SPDX-License-Identifier: Apache-2.0

/// What this kernel and user can do with io_uring, by the kernel's own word: `recv` and `send` with
/// `--wire uring`, and `recv --wire zcrx` over a card, with `--no-device`, and into memory that
/// grows.
func checkURing(_ probe: Probe) -> [CheckResult] {
  let ring: CheckResult =
    if let failure = probe.uringFailure() {
      .warn("io_uring", failure.reason, failure.remedy ?? probe.newerKernel)
    } else {
      .ok("io_uring", "a ring can be made")
    }
  let known: Probe.ZeroCopy
  switch probe.zeroCopy() {
  case .success(let found): known = found
  case .failure(let failure):
    return [ring]
      + ["zcrx", "zcrx NODEV", "zcrx ADD_AREA"].map {
        .warn($0, failure.reason, failure.remedy ?? probe.newerKernel)
      }
  }
  func check(_ name: String, _ isKnown: Bool, _ found: String, _ missing: String) -> CheckResult {
    guard isKnown else { return .warn(name, missing, probe.newerKernel) }
    guard known.isPermitted else {
      return .warn(
        name, found + ", but it needs CAP_NET_ADMIN", fix: "sudo \(probe.program) doctor")
    }
    return .ok(name, found)
  }
  return [
    ring,
    check(
      "zcrx", known.takesDMABufs,
      "zero-copy receive over a card's queue into a dma-buf"
        + (known.hasBufferSize ? ", buffers larger than a page where the card can" : ""),
      "zero-copy receive into CPU mappings alone: recv --wire zcrx --cpu-mapping"),
    check(
      "zcrx NODEV", known.hasNoDevice, "zero-copy receive without a card",
      "this kernel's zero-copy receive needs a card: no recv --wire zcrx --no-device"),
    check(
      "zcrx ADD_AREA", known.canGrow, "memory can be added while it receives",
      "zero-copy receive has the memory that it begins with"),
  ]
}
