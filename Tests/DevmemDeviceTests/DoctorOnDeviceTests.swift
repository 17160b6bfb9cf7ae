// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@Suite("doctor on a machine with everything")
struct DoctorOnDeviceTests {
  @Test("all that the device tier has is found, and the exit status is 0")
  func everything() throws {
    let output = try DevmemctlProcess.run(["doctor", "--json"])
    #expect(output.status == 0, "\(output.standardOutput)")
    let json = try output.json()
    #expect(json["canRunDemo"] as? Bool == true)
    let checks = try #require(json["checks"] as? [[String: Any]])
    func check(_ name: String) throws -> [String: Any] {
      try #require(checks.first { $0["name"] as? String == name }, "no check \(name)")
    }
    for name in [
      "kernel", "udmabuf", "udmabuf limits", "dma-heaps", "DRM cards", "io_uring", "zcrx",
      "zcrx NODEV", "zcrx ADD_AREA", "exporter",
    ] {
      let check = try check(name)
      #expect(check["status"] as? String == "ok", "\(name): \(check)")
    }
    #expect((try check("DRM cards")["summary"] as? String)?.contains("(vgem)") == true)
    #expect((try check("NUMA nodes")["summary"] as? String)?.contains("node 1") == true)
    #expect((try check("exporter")["summary"] as? String)?.hasPrefix("udmabuf") == true)
  }

  @Test("the table ends with the verdict, without colours in a file")
  func table() throws {
    let output = try DevmemctlProcess.run(["doctor"])
    #expect(output.status == 0)
    #expect(output.standardOutput.hasSuffix("The demo can run on a real exporter.\n"))
    #expect(!output.standardOutput.contains("\u{1B}"))
  }
}
