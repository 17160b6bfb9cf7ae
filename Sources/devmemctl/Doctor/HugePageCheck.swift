// SPDX-License-Identifier: Apache-2.0

/// Reserved huge pages, for memory files with 2 MiB and 1 GiB pages.
func checkHugePages(_ probe: Probe) -> CheckResult {
  let name = "huge pages"
  let folder = "/sys/kernel/mm/hugepages"
  let sizes: [(label: String, kilobytes: Int)] = [("2 MiB", 2048), ("1 GiB", 1_048_576)]
  var found: [String] = []
  var freeHuge2M = 0
  for size in sizes {
    let path = "\(folder)/hugepages-\(size.kilobytes)kB"
    guard let total = probe.files.integer(path + "/nr_hugepages"),
      let free = probe.files.integer(path + "/free_hugepages")
    else { continue }
    found.append("\(free) of \(total) free at \(size.label)")
    if size.kilobytes == 2048 { freeHuge2M = free }
  }
  let summary = found.isEmpty ? "the kernel offers none" : found.joined(separator: ", ")
  // 32 pages of 2 MiB are the demo's 64 MiB pool.
  if freeHuge2M < 32 {
    return .warn(
      name, summary + "; --page-size 2M wants 32 free", fix: "sudo sysctl vm.nr_hugepages=64")
  }
  return .ok(name, summary)
}
