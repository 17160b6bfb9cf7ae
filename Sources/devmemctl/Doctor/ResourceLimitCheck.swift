// SPDX-License-Identifier: Apache-2.0

/// RLIMIT_MEMLOCK. A udmabuf's pages are not charged to it; those of an AF_XDP UMEM and of
/// MSG_ZEROCOPY sends are.
func checkLockedMemory(_ probe: Probe) -> CheckResult {
  let name = "memlock"
  guard let limit = probe.limits.lockedByteCount else { return .ok(name, "unlimited") }
  let summary = "\(ByteCount(limit)) may be locked"
  // CAP_IPC_LOCK goes past the limit.
  if limit < 64 << 20 && !probe.isRoot {
    return .warn(
      name, summary + "; AF_XDP and zerocopy sends charge their buffers to it",
      fix: "sudo prlimit --pid $$ --memlock=unlimited")
  }
  return .ok(name, summary)
}

/// RLIMIT_NOFILE: every dma-buf holds two descriptors, every connection one.
func checkOpenFiles(_ probe: Probe) -> CheckResult {
  let name = "nofile"
  guard let limit = probe.limits.openFileCount else { return .ok(name, "unlimited") }
  let summary = "\(limit) descriptors may be open"
  // 1024 is the customary soft limit, and what the test suite is happy with.
  if limit < 1024 { return .warn(name, summary, fix: "ulimit -n 4096") }
  return .ok(name, summary)
}
