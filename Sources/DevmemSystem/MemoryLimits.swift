// SPDX-License-Identifier: Apache-2.0

/// How much memory this process can get, by everything that bounds it: what the machine has, the
/// control groups that it is in (v1 and v2, with all that they are nested in), its resource limits.
///
/// Beyond a control group's limit the kernel does not refuse: it ends a process of the group.
package struct MemoryLimits: Sendable {
  /// One bound.
  package struct Bound: Hashable, Sendable {
    /// Bytes that can still be had.
    package let availableByteCount: Int
    /// Where it is set, for a person: "/sys/fs/cgroup/job/memory.max".
    package let place: String
  }

  /// Bounds of ordinary memory.
  package let memory: [Bound]
  /// Bounds of huge pages, by the size of a page in bytes.
  package let hugePages: [Int: [Bound]]
  /// Huge pages that are free on the machine, by size.
  private let freeHugePages: [Int: Int]
  /// Mappings that the process has, and may have; nil where /proc does not say.
  private let mappings: (count: Int, limit: Int)?
  private let addressSpace: Bound?
  private let fileSize: Int?

  /// As they are now.
  package static func current() -> MemoryLimits { MemoryLimits(root: "") }

  /// The bound of ordinary memory that leaves least now; nil where nothing says.
  package static func tightest() -> Bound? { MemoryLimits(root: "", isBrief: true).tightest }

  /// - Parameters:
  ///   - root: what stands before each absolute path; tests have other machines there.
  ///   - isBrief: reads the bounds of ordinary memory alone.
  package init(root: String, isBrief: Bool = false) {
    func text(_ path: String) -> String? { try? SystemFile.text(at: root + path) }
    func number(_ path: String) -> Int? {
      // "max" is no number, and so no bound.
      text(path).flatMap { Int($0.prefix { !$0.isWhitespace }) }
    }
    var memory: [Bound] = []
    var huge: [Int: [Bound]] = [:]
    if let available = Self.available(text("/proc/meminfo") ?? "") {
      memory.append(Bound(availableByteCount: available, place: "/proc/meminfo (MemAvailable)"))
    }
    for group in Self.groups(
      cgroup: text("/proc/self/cgroup") ?? "", mounts: text("/proc/self/mountinfo") ?? "")
    {
      for folder in group.folders {
        let names =
          group.isUnified
          ? (limit: "memory.max", usage: "memory.current", cache: ["inactive_file", "active_file"])
          : (
            limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes",
            cache: ["total_inactive_file", "total_active_file"]
          )
        // v1 writes a number near 2^63 for "none".
        if let limit = number("\(folder)/\(names.limit)"), limit < 1 << 60 {
          let usage = number("\(folder)/\(names.usage)") ?? 0
          let cache = Self.sum(of: names.cache, in: text("\(folder)/memory.stat") ?? "")
          memory.append(
            Bound(
              availableByteCount: max(0, limit - max(0, usage - cache)),
              place: "\(folder)/\(names.limit)"))
        }
        for (size, name) in isBrief ? [] : [(2 << 20, "2MB"), (1 << 30, "1GB")] {
          let limit = "\(folder)/hugetlb.\(name).\(group.isUnified ? "max" : "limit_in_bytes")"
          let usage = "\(folder)/hugetlb.\(name).\(group.isUnified ? "current" : "usage_in_bytes")"
          if let bytes = number(limit), bytes < 1 << 60 {
            huge[size, default: []].append(
              Bound(availableByteCount: max(0, bytes - (number(usage) ?? 0)), place: limit))
          }
        }
      }
    }
    var free: [Int: Int] = [:]
    for size in isBrief ? [] : [2 << 20, 1 << 30] {
      free[size] = number("/sys/kernel/mm/hugepages/hugepages-\(size >> 10)kB/free_hugepages")
    }
    self.memory = memory
    hugePages = huge
    freeHugePages = free
    if !isBrief, let limit = number("/proc/sys/vm/max_map_count"),
      let maps = text("/proc/self/maps")
    {
      mappings = (maps.utf8.count { $0 == UInt8(ascii: "\n") }, limit)
    } else {
      mappings = nil
    }
    if !isBrief, let limit = (try? SystemProcess.addressSpaceLimit()) ?? nil {
      // The first field is the size in pages.
      let used = number("/proc/self/statm").map { $0 * SystemProcess.pageByteCount } ?? 0
      addressSpace = Bound(
        availableByteCount: max(0, limit - used), place: "the limit of address space (ulimit -v)")
    } else {
      addressSpace = nil
    }
    fileSize = isBrief ? nil : (try? SystemProcess.fileSizeLimit()) ?? nil
  }

  /// The bound that leaves least; nil where nothing says.
  package var tightest: Bound? { memory.min { $0.availableByteCount < $1.availableByteCount } }

  /// The way out where so much ordinary memory was refused, by the limit that is the cause; nil if
  /// none is.
  package func remedy(byteCount: Int) -> String? {
    if let fileSizeRemedy = fileSizeRemedy(byteCount) { return fileSizeRemedy }
    if let addressSpace, byteCount > addressSpace.availableByteCount {
      return "\(addressSpace.place) leaves \(addressSpace.availableByteCount) bytes:"
        + " ulimit -v unlimited"
    }
    if let mappings, mappings.count + 16 > mappings.limit {
      let command = SystemProcess.asRoot("sysctl vm.max_map_count=\(mappings.limit * 4)")
      return
        "This process has \(mappings.count) mappings and may have \(mappings.limit): \(command)"
    }
    guard let tightest, byteCount > tightest.availableByteCount else { return nil }
    return
      "\(tightest.place) leaves \(tightest.availableByteCount) bytes: ask for less, or raise it."
  }

  /// The way out where huge pages were refused although enough are free; nil if they are not.
  package func hugePageRemedy(byteCount: Int, pageByteCount: Int) -> String? {
    if let fileSizeRemedy = fileSizeRemedy(byteCount) { return fileSizeRemedy }
    guard
      let bound = hugePages[pageByteCount]?.min(by: {
        $0.availableByteCount < $1.availableByteCount
      }),
      byteCount > bound.availableByteCount, let free = freeHugePages[pageByteCount],
      free >= (byteCount - 1) / pageByteCount + 1
    else { return nil }
    return
      "\(free) huge pages are free, but the control group leaves \(bound.availableByteCount) bytes"
      + " of them: raise \(bound.place)"
  }

  private func fileSizeRemedy(_ byteCount: Int) -> String? {
    guard let fileSize, byteCount > fileSize else { return nil }
    return "Files may have \(fileSize) bytes here, also those in memory: ulimit -f unlimited"
  }

  // MARK: - Reading

  /// `MemAvailable` of /proc/meminfo, in bytes; nil if the line is missing.
  static func available(_ meminfo: String) -> Int? {
    for line in meminfo.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
      // "MemAvailable:   22993340 kB"
      let fields = line.split(separator: " ")
      if fields.count >= 2, let kibibytes = Int(fields[1]) { return kibibytes << 10 }
    }
    return nil
  }

  private static func sum(of names: [String], in statistics: String) -> Int {
    statistics.split(separator: "\n").reduce(0) { sum, line in
      let fields = line.split(separator: " ")
      guard fields.count == 2, names.contains(String(fields[0])) else { return sum }
      return sum + (Int(fields[1]) ?? 0)
    }
  }

  private struct Group {
    var isUnified: Bool
    /// The group's folder and those it is in, up to what is mounted.
    var folders: [String]
  }

  /// The groups of this process that bound memory (cgroups(7)), and where they are mounted.
  private static func groups(cgroup: String, mounts: String) -> [Group] {
    var groups: [Group] = []
    for line in cgroup.split(separator: "\n") {
      // "0::/user.slice", "9:memory:/docker/…"
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[1].isEmpty
      let controllers = fields[1].split(separator: ",")
      for controller in isUnified ? [""] : ["memory", "hugetlb"]
      where isUnified || controllers.contains(Substring(controller)) {
        guard let mount = self.mount(isUnified, controller, mounts) else { continue }
        var path = String(fields[2])
        // The mount shows a part of the hierarchy; what is outside of it cannot be seen.
        if mount.root != "/" {
          path = path.hasPrefix(mount.root) ? String(path.dropFirst(mount.root.count)) : ""
        }
        var parts = path.split(separator: "/").map(String.init)
        if parts.contains("..") { parts = [] }
        var folders: [String] = []
        for count in stride(from: parts.count, through: 0, by: -1) {
          folders.append(([mount.point] + parts[..<count]).joined(separator: "/"))
        }
        groups.append(Group(isUnified: isUnified, folders: folders))
      }
    }
    return groups
  }

  private static func mount(
    _ isUnified: Bool, _ controller: String, _ mounts: String
  ) -> (root: String, point: String)? {
    for line in mounts.split(separator: "\n") {
      // "31 24 0:27 /root /sys/fs/cgroup rw,… shared:9 - cgroup2 cgroup2 rw,…":
      // proc_pid_mountinfo(5)
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else {
        continue
      }
      let options = fields[dash + 3].split(separator: ",")
      let isOurs =
        isUnified
        ? fields[dash + 1] == "cgroup2"
        : fields[dash + 1] == "cgroup" && options.contains(Substring(controller))
      if isOurs { return (String(fields[3]), String(fields[4])) }
    }
    return nil
  }
}
