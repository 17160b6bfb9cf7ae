// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// The main job on real exporters: `devmemctl demo` as a user runs it.
@Suite("demo on real exporters", .serialized)
struct DemoOnDeviceTests {
  /// Runs the demo and checks what has to hold whatever the exporter.
  @discardableResult
  private func demo(_ arguments: [String], byteCount: Int) throws -> [String: Any] {
    let output = try DevmemctlProcess.run(["demo", "--json"] + arguments)
    try #require(output.status == 0, "\(output.standardError)")
    #expect(output.standardOutput.split(separator: "\n").count == 1)
    let json = try output.json()
    #expect(json["isExported"] as? Bool == true)
    #expect(json["payloadByteCount"] as? Int == byteCount)
    #expect(json["payloadInDeviceMemoryByteCount"] as? Int == byteCount)
    let sent = try #require(json["sha256Sent"] as? String)
    #expect(sent.count == 64)
    #expect(json["sha256SeenByImporter"] as? String == sent)
    #expect(json["inFlightAtEnd"] as? Int == 0)
    #expect(try #require(json["recyclePercent"] as? Double) >= 99)
    // A ratio of two times: reported, not judged, because emulation makes nothing of it.
    #expect(try #require(json["throughputVersusMalloc"] as? Double) > 0)
    return json
  }

  @Test("a file of 256 MiB reaches the importer through a udmabuf, four times its size")
  func file() throws {
    let byteCount = 256 << 20
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("devmemctl-device-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    var hash = SHA256()
    try #require(FileManager.default.createFile(atPath: url.path, contents: nil))
    let file = try FileHandle(forWritingTo: url)
    // Random once, because emulation is slow; every page then gets its own number.
    var random = SeededGenerator(seed: 256)
    var words = (0..<(1 << 17)).map { _ in random.next() }
    for block in 0..<byteCount >> 20 {
      for page in 0..<256 { words[page * 512] = UInt64(block * 256 + page) }
      let content = unsafe words.withUnsafeBytes { bytes in
        unsafe hash.update(bytes)
        return unsafe Data(bytes)
      }
      try file.write(contentsOf: content)
    }
    try file.close()
    let digest = hash.finalize().hexadecimal

    let json = try demo(["--file", url.path], byteCount: byteCount)
    #expect(json["exporter"] as? String == "udmabuf")
    #expect(json["sha256SeenByImporter"] as? String == digest)
    #expect(json["iovByteCount"] as? Int == 4096)
    #expect(json["headerCount"] as? Int == byteCount / 65_536)
    #expect(json["drmImport"] as? String == "ok")
  }

  @Test("2 MiB pages, in IOVs of 4 KiB and of 2 MiB", arguments: ["4K", "2M"])
  func hugePages(iovSize: String) throws {
    let json = try demo(
      ["--page-size", "2M", "--iov-size", iovSize, "--bytes", "9M"], byteCount: 9 << 20)
    #expect(json["exporter"] as? String == "udmabuf")
    #expect(json["drmImport"] as? String == "ok")
  }

  @Test("a dma-heap's buffer does as well")
  func heap() throws {
    let json = try demo(["--exporter", "heap", "--bytes", "5000001"], byteCount: 5_000_001)
    #expect(json["exporter"] as? String == "heap system")
  }

  @Test("a DRM dumb buffer does as well")
  func drm() throws {
    let json = try demo(["--exporter", "drm", "--bytes", "5000001"], byteCount: 5_000_001)
    #expect(json["exporter"] as? String == "drm vgem")
  }

  @Test("either NUMA node can be asked for", arguments: [0, 1])
  func node(node: Int) throws {
    try demo(["--node", "\(node)", "--bytes", "1M"], byteCount: 1 << 20)
  }

  @Test(
    "one byte is enough, and a payload that ends anywhere", arguments: [1, 4097, (1 << 20) + 1])
  func oddSizes(byteCount: Int) throws {
    try demo(["--bytes", "\(byteCount)"], byteCount: byteCount)
  }
}
