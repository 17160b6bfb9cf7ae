// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("BenchCase")
struct BenchCaseTests {
  @Test("every case has a name of its own")
  func names() {
    #expect(Set(BenchCase.all.map(\.name)).count == BenchCase.all.count)
  }

  @Test("the cases that the kernel and the peers are compared by are there")
  func promised() {
    let names = Set(BenchCase.all.map(\.name))
    let promised = [
      "for_loop", "atomic_inc", "lock", "fast_path", "return_queue", "slow",
      "fast_path_window_32", "fast_path_window_64", "fast_path_window_128",
      "fast_path_window_1024", "bulk_32", "bulk_64", "fragment", "share_and_two_returns",
      "device_only", "host_only", "mixed_random", "cross_thread_single", "cross_thread_burst32",
      "many_returners_1", "many_returners_2", "many_returners_4", "many_returners_8",
      "pools_of_one_binding_1", "pools_of_one_binding_2", "pools_of_one_binding_4",
      "pools_of_one_binding_8",
      "genpool_4k_empty_64M", "genpool_4k_nearly_full_64M", "genpool_4k_empty_1G",
      "genpool_4k_nearly_full_1G", "genpool_4k_empty_64G", "genpool_4k_nearly_full_64G",
      "create_64M", "create_1G", "populate_256M", "populate_256M_threads",
    ]
    #expect(promised.filter { !names.contains($0) } == [])
  }

  @Test(
    "every loop does what it counts, and can be run again",
    arguments: BenchCase.all.map(\.name).filter { !$0.hasPrefix("create_1G") })
  func runs(name: String) throws {
    let benchCase = try #require(BenchCase.all.first { $0.name == name })
    let loop = try benchCase.prepare()
    for _ in 0..<2 {
      // What takes long once need not be done three times.
      try loop.checked(benchCase.repeatLimit < .max ? 1 : benchCase.step * 3, of: name)
      loop.tidy()
    }
  }

  @Test("a loop that stops early is an error, not a fast result")
  func stops() {
    let benchCase = BenchCase("broken", "stops") { BenchCase.Loop { $0 - 1 } }
    #expect(throws: BenchError.self) { try benchCase.run(count: 5) }
    #expect(throws: BenchError.self) { try BenchRunner(repeatCount: 1).run([benchCase]) }
  }

  @Test("an exact name selects one case, a part of a name all that have it")
  func filters() {
    #expect(BenchCase.matching("fast_path").map(\.name) == ["fast_path"])
    #expect(BenchCase.matching("fast_path_w").count == 4)
    #expect(BenchCase.matching("nothing like it").isEmpty)
    #expect(BenchCase.matching(nil).count == BenchCase.all.count)
  }
}
