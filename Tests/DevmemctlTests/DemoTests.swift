// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Glibc
import Testing

@testable import devmemctl

/// The demo end to end over a bare memory file, which runs anywhere.
@Suite("demo over a memory file")
struct DemoTests {
  static let keys: Set<String> = [
    "exporter", "isExported", "kernel", "byteCount", "iovByteCount", "payloadByteCount",
    "payloadInDeviceMemoryByteCount", "headerCount", "sha256Sent", "sha256SeenByImporter",
    "drmImport", "inFlightAtEnd", "recyclePercent", "statistics", "throughputBytesPerSecond",
    "throughputVersusMalloc",
  ]

  @Test(
    "equal digests and nothing in flight, for sizes on either side of every boundary",
    arguments: [1, 4095, 4096, 4097, 65_535, 65_536, 65_537, (1 << 20) + 1])
  func sizes(byteCount: Int) throws {
    let output = try DevmemctlProcess.run([
      "demo", "--exporter", "memory-file", "--bytes", "\(byteCount)", "--json",
    ])
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.standardError.isEmpty)
    #expect(output.standardOutput.split(separator: "\n").count == 1)
    let json = try output.json()
    #expect(Set(json.keys) == Self.keys)
    #expect(json["exporter"] as? String == "memory-file")
    #expect(json["isExported"] as? Bool == false)
    #expect(json["payloadByteCount"] as? Int == byteCount)
    #expect(json["payloadInDeviceMemoryByteCount"] as? Int == 0)
    #expect(json["headerCount"] as? Int == (byteCount + 65_535) / 65_536)
    #expect(json["inFlightAtEnd"] as? Int == 0)
    #expect(json["recyclePercent"] as? Double == 100)
    #expect(json["drmImport"] as? String == "no device")
    let sent = try #require(json["sha256Sent"] as? String)
    #expect(sent.count == 64)
    #expect(json["sha256SeenByImporter"] as? String == sent)
    #expect(sent == (try Self.generatedDigest(byteCount: byteCount)))
  }

  @Test("the statistics carry the kernel's names and add up to the fragments")
  func statistics() throws {
    let byteCount = 3 << 20
    let json = try DevmemctlProcess.run([
      "demo", "--exporter", "memory-file", "--bytes", "\(byteCount)", "--json",
    ]).json()
    let statistics = try #require(json["statistics"] as? [String: [String: Int]])
    let alloc = try #require(statistics["alloc"])
    let recycle = try #require(statistics["recycle"])
    #expect(
      Set(alloc.keys) == ["fast", "slow", "slow_high_order", "empty", "refill", "waive"])
    #expect(
      Set(recycle.keys) == ["cached", "cache_full", "ring", "ring_full", "released_refcnt"])
    let fragmentCount = byteCount / 4096
    let allocations = ["fast", "slow", "slow_high_order", "refill"].compactMap { alloc[$0] }
    #expect(allocations.reduce(0, +) == fragmentCount)
    let returns = ["cached", "ring", "released_refcnt"].compactMap { recycle[$0] }
    #expect(returns.reduce(0, +) == fragmentCount)
  }

  @Test("a file larger than the pool arrives whole", arguments: [4096, 65_536, 2 << 20])
  func file(iovByteCount: Int) throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("devmemctl-demo-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: url) }
    // 64 MiB is the pool: this is more, and not a multiple of anything.
    var random = SeededGenerator(seed: 7)
    let words = (0..<(9 << 20)).map { _ in random.next() }
    let content = unsafe words.withUnsafeBytes { unsafe Data($0) } + Data([1, 2, 3])
    try content.write(to: url)
    let output = try DevmemctlProcess.run([
      "demo", "--exporter", "memory-file", "--file", url.path, "--iov-size", "\(iovByteCount)",
      "--json",
    ])
    #expect(output.status == 0, "\(output.standardError)")
    let json = try output.json()
    var hash = SHA256()
    unsafe content.withUnsafeBytes { unsafe hash.update($0) }
    let digest = hash.finalize().hexadecimal
    #expect(json["sha256SeenByImporter"] as? String == digest)
    #expect(json["payloadByteCount"] as? Int == content.count)
    #expect(json["iovByteCount"] as? Int == iovByteCount)
    #expect(json["inFlightAtEnd"] as? Int == 0)
  }

  @Test("without --json people get an aligned table and programs no colours")
  func table() throws {
    let output = try DevmemctlProcess.run(["demo", "--exporter", "memory-file", "--bytes", "64K"])
    #expect(output.status == 0)
    #expect(output.standardOutput.contains("(equal)"))
    #expect(output.standardOutput.contains("a stand-in"))
    #expect(!output.standardOutput.contains("\u{1B}"))
    #expect(output.standardError.isEmpty)
  }

  @Test(
    "bad arguments end in exit status 64 and say what is wrong",
    arguments: [
      (["--bytes", "0"], "nothing to send"),
      (["--bytes", "-1"], "--bytes"),
      (["--bytes", "many"], "--bytes"),
      (["--file", "/nowhere/at/all"], "No such file"),
      (["--file", "/tmp"], "not an ordinary file"),
      (["--file", "/dev/null"], "not an ordinary file"),
      (["--file", "/proc/self/exe", "--bytes", "1"], "exclude each other"),
      (["--iov-size", "5000"], "power of two"),
      (["--iov-size", "2K"], "power of two"),
      (["--iov-size", "4M"], "power of two"),
      (["--page-size", "8K"], "4K or 2M"),
      (["--page-size", "2M", "--exporter", "heap"], "--page-size"),
      (["--node", "4095"], "this machine has"),
      (["--node", "0", "--exporter", "drm"], "--node"),
      (["--exporter", "gpu"], "gpu"),
      (["extra"], "extra"),
    ])
  func badArguments(arguments: [String], text: String) throws {
    let output = try DevmemctlProcess.run(["demo"] + arguments)
    #expect(output.status == 64)
    #expect(output.standardOutput.isEmpty)
    #expect(output.standardError.contains(text), "\(output.standardError)")
  }

  @Test("a real exporter is used or refused, never replaced")
  func noFallback() throws {
    let output = try DevmemctlProcess.run(["demo", "--bytes", "1", "--json"])
    if unsafe access("/dev/udmabuf", R_OK) == 0 {
      #expect(output.status == 0)
      #expect(try output.json()["isExported"] as? Bool == true)
    } else {
      #expect(output.status == 1)
      #expect(output.standardOutput.isEmpty)
      #expect(output.standardError.contains("/dev/udmabuf"))
    }
  }

  @Test("an importer that dies stops the demo with an error")
  func importerDies() throws {
    let demo = try DevmemctlProcess(["demo", "--exporter", "memory-file", "--bytes", "8G"])
    let importer = try Self.child(of: demo.process.processIdentifier)
    kill(importer, SIGKILL)
    let output = try demo.wait()
    #expect(output.status == 1)
    #expect(output.standardError.contains("went away"), "\(output.standardError)")
  }

  @Test("a demo that is killed takes its importer along", arguments: [SIGTERM, SIGKILL])
  func demoDies(signal: Int32) throws {
    let demo = try DevmemctlProcess(["demo", "--exporter", "memory-file", "--bytes", "8G"])
    let importer = try Self.child(of: demo.process.processIdentifier)
    kill(demo.process.processIdentifier, signal)
    #expect(try demo.wait().status == 128 + signal)
    // It may take a moment, but not for ever: the importer reads the end of its socket.
    for _ in 0..<1000 where Self.isAlive(importer) { usleep(10_000) }
    #expect(!Self.isAlive(importer))
  }

  @Test("the importer is no subcommand for people")
  func importerAlone() throws {
    let output = try DevmemctlProcess.run(["importer", "--socket", "77"])
    #expect(output.status == 64)
    #expect(output.standardError.contains("not open"))
    #expect(try DevmemctlProcess.run(["--help"]).standardOutput.contains("importer") == false)
  }

  /// The digest of what the generator gives, computed here.
  private static func generatedDigest(byteCount: Int) throws -> String {
    let reader = try DemoSource.generator(seed: 0x5EED).open()
    var hash = SHA256()
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try unsafe bytes.withUnsafeMutableBytes { buffer in
      try unsafe reader.read(at: 0, into: buffer)
      unsafe hash.update(UnsafeRawBufferPointer(buffer))
    }
    return hash.finalize().hexadecimal
  }

  /// The one child process, once it is there and has become the importer.
  private static func child(of parent: Int32) throws -> Int32 {
    for _ in 0..<1000 {
      let path = "/proc/\(parent)/task/\(parent)/children"
      if let text = try? String(contentsOfFile: path, encoding: .utf8),
        let child = text.split(separator: " ").first.flatMap({ Int32($0) }),
        let arguments = FileTree().text("/proc/\(child)/cmdline"), arguments.contains("importer")
      {
        return child
      }
      usleep(10_000)
    }
    throw CommandError("the demo has started no importer")
  }

  private static func isAlive(_ process: Int32) -> Bool {
    guard let status = FileTree().text("/proc/\(process)/stat") else { return false }
    // An orphan whose new parent has not looked yet is dead all the same.
    return !status.contains(") Z ")
  }
}
