// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DevmemBench

@Suite("BenchCase")
struct BenchCaseTests {
  @Test("every case has a name of its own")
  func names() {
    #expect(Set(BenchCase.all.map(\.name)).count == BenchCase.all.count)
  }
}
