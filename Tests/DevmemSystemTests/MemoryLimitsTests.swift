// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

/// Limits of machines that are made up, and of this process.
@Suite struct MemoryLimitsTests {
  private let meminfo = "MemTotal: 100 kB\nMemAvailable:    8388608 kB\n"
  private let unified = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"

  @Test("the tightest group that the process is nested in bounds it, less what can be dropped")
  func nested() throws {
    let files = try MadeUpFiles([
      "/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/outer/job\n",
      "/proc/self/mountinfo": unified, "/sys/fs/cgroup/outer/memory.max": "67108864\n",
      "/sys/fs/cgroup/outer/memory.current": "20000000\n",
      "/sys/fs/cgroup/outer/memory.stat": "anon 1\ninactive_file 3000000\nactive_file 1000000\n",
      "/sys/fs/cgroup/outer/job/memory.max": "max\n",
      "/sys/fs/cgroup/outer/job/memory.current": "5\n",
    ])
    let limits = MemoryLimits(root: files.root)
    let tightest = try #require(limits.tightest)
    #expect(tightest.availableByteCount == 67_108_864 - 16_000_000)
    #expect(tightest.place == "/sys/fs/cgroup/outer/memory.max")
    #expect(limits.remedy(byteCount: 64 << 20)?.contains("/sys/fs/cgroup/outer/memory.max") == true)
    #expect(limits.remedy(byteCount: 1 << 20) == nil)
  }

  @Test("so does one of version 1, whose mount may show a part of the hierarchy only")
  func versionOne() throws {
    let files = try MadeUpFiles([
      "/proc/meminfo": meminfo,
      "/proc/self/cgroup": "5:cpu:/\n4:memory,hugetlb:/docker/abc\n0::/\n",
      "/proc/self/mountinfo":
        "40 30 0:33 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory,hugetlb\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "7108864\n",
      "/sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
      "/sys/fs/cgroup/memory/hugetlb.2MB.limit_in_bytes": "4194304\n",
      "/sys/fs/cgroup/memory/hugetlb.2MB.usage_in_bytes": "2097152\n",
      "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "320\n",
    ])
    let limits = MemoryLimits(root: files.root)
    #expect(limits.tightest?.availableByteCount == 60_000_000)
    let remedy = try #require(limits.hugePageRemedy(byteCount: 64 << 20, pageByteCount: 2 << 20))
    #expect(remedy.contains("320 huge pages are free"))
    #expect(remedy.contains("hugetlb.2MB.limit_in_bytes"))
    // Where they are not free, reserving them is the way out.
    #expect(limits.hugePageRemedy(byteCount: 2 << 30, pageByteCount: 2 << 20) == nil)
  }

  @Test("no limit, no files, and files that make no sense bound nothing")
  func none() throws {
    let empty = try MadeUpFiles(["/nothing": ""])
    #expect(MemoryLimits(root: empty.root).tightest == nil)
    let odd = try MadeUpFiles([
      "/proc/self/cgroup": "0\nx::\n0::/../outside\n::\n",
      "/proc/self/mountinfo": "a b c - d\n" + unified,
      "/sys/fs/cgroup/memory.max": "9223372036854771712\n",
      "/proc/meminfo": "MemAvailable: many kB\n",
    ])
    #expect(MemoryLimits(root: odd.root).tightest == nil)
  }

  @Test("a limit of mappings is named with the command that raises it")
  func mappings() throws {
    let files = try MadeUpFiles([
      "/proc/meminfo": meminfo, "/proc/sys/vm/max_map_count": "20\n",
      "/proc/self/maps": String(repeating: "a\n", count: 19),
    ])
    #expect(
      MemoryLimits(root: files.root).remedy(byteCount: 1)?.contains("sysctl vm.max_map_count=80")
        == true)
  }

  @Test("a file larger than files may be is refused without the signal, and the limit is named")
  func fileSize() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 1 << 20, rlim_max: 1 << 20)
      precondition(unsafe setrlimit(__rlimit_resource_t(1), &limit) == 0)
      let held = try ResourceCount.now()
      do throws(Errno) {
        _ = try MemoryFile(name: "large", byteCount: 2 << 20)
        fatalError("it grew")
      } catch {
        precondition(error == .EFBIG)
      }
      let now = try ResourceCount.now()
      precondition(now == held)
      precondition(
        MemoryLimits.current().remedy(byteCount: 2 << 20)?.contains("ulimit -f unlimited") == true)
      _ = try MemoryFile(name: "small", byteCount: 1 << 20)
    }
  }
}
