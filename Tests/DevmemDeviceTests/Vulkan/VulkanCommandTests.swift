// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Foundation
import Testing

/// `devmemctl recv --into vulkan`, and the example that loads weights: from another network
/// namespace into memory that a device reads.
@Suite("From the network into Vulkan", .onDevmemSim, .serialized) struct VulkanCommandTests {
  /// devmemctl at the peer.
  private func send(_ arguments: [String]) throws -> ToolProcess {
    try ToolProcess(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["ip", "netns", "exec", DevmemSim.namespace, DevmemctlProcess.executable.path, "send"]
        + [DevmemSim.here.ipv4, "--interface", DevmemSim.peer.interface]
        + ["--connect-timeout", "60"] + arguments)
  }

  @Test(
    "the device's digest is the sender's, and every fragment goes back after a fence",
    arguments: [
      ["--wire", "devmem", "--memory", "vulkan"], ["--wire", "zcrx", "--buffer-size", "1M"],
      // Less than comes: the memory runs out, and each time all of it is waited for.
      ["--wire", "tcp", "--memory", "vulkan", "--buffer-size", "64K"],
    ])
  func receive(options: [String]) throws {
    let byteCount = 300_003
    let receiver = try DevmemctlProcess(
      ["recv", "--interface", DevmemSim.here.interface, "--into", "vulkan:llvmpipe", "--json"]
        + options)
    let sent = try send(["--bytes", "\(byteCount)", "--crc32", "--json"]).wait()
    let received = try receiver.wait()
    #expect(sent.status == 0, "\(sent.standardError)")
    #expect(received.status == 0, "\(received.standardError)")
    let into = try received.json()
    let vulkan = try #require(into["vulkan"] as? [String: Any])
    let digest = try #require(try sent.json()["crc32"] as? String)
    #expect(vulkan["crc32"] as? String == digest)
    #expect(into["byteCount"] as? Int == byteCount)
    #expect(into["deviceByteCount"] as? Int == byteCount)
    #expect(into["sha256"] is NSNull)
    #expect((vulkan["device"] as? String)?.contains("llvmpipe") == true)
    #expect(vulkan["isExported"] as? Bool == true)
    #expect(vulkan["hostByteCount"] as? Int == 0)
    let fragmentCount = try #require(into["fragmentCount"] as? Int)
    #expect(fragmentCount > 0 && vulkan["fragmentCount"] as? Int == fragmentCount)
    #expect(vulkan["returnedAfterFence"] as? Int == fragmentCount)
    #expect(into["poolInFlightBefore"] as? Int == 0 && into["poolInFlightAfter"] as? Int == 0)
  }

  @Test("what is missing is named: the library, a driver, the device")
  func missing() throws {
    let recv = [DevmemctlProcess.executable.path, "recv", "--wire", "tcp", "--into"]
    // The file that the loader finds, without a library in it; in a namespace of its own.
    let hidden = """
      file=$(ldconfig -p | sed -n 's/.*libvulkan.so.1 .*=> //p' | head -n 1)
      [ -n "$file" ] && mount --bind /dev/null "$(readlink -f "$file")" && exec "$@"
      """
    for (command, texts) in [
      (
        ["unshare", "--mount", "sh", "-c", hidden, "sh"] + recv + ["vulkan"],
        ["libraryMissing", "sudo apt-get install libvulkan1"]
      ),
      (
        ["env", "VK_DRIVER_FILES=/nonexistent.json"] + recv + ["vulkan"],
        ["noDevice", "sudo apt-get install mesa-vulkan-drivers"]
      ),
      (recv + ["vulkan:no such card"], ["noSuchDevice", "There are: llvmpipe"]),
    ] {
      let output = try ToolProcess.run(URL(fileURLWithPath: "/usr/bin/env"), command)
      #expect(output.status == 1, "\(output.standardError)")
      for text in texts {
        #expect(output.standardError.contains(text), "\(output.standardError)")
      }
    }
  }

  @Test("the example loads weights: every tensor's checksum, before and after, is the file's")
  func weights() throws {
    let program = DevmemctlProcess.executable.deletingLastPathComponent()
      .appendingPathComponent("Weights")
    let file = FileManager.default.temporaryDirectory
      .appendingPathComponent("\(UUID().uuidString).safetensors")
    defer { try? FileManager.default.removeItem(at: file) }
    #expect(try ToolProcess.run(program, ["make", file.path]).status == 0)
    func load(_ file: URL) throws -> ToolProcess.Output {
      let loader = try ToolProcess(program, ["load", DevmemSim.here.interface])
      _ = try send(["--input", file.path]).wait()
      return try loader.wait()
    }
    let output = try load(file)
    #expect(output.status == 0, "\(output.standardError)")
    #expect(output.standardOutput.contains("every checksum the file's"))
    #expect(output.standardOutput.contains("llvmpipe"))
    #expect(output.standardOutput.split(separator: "\n").count == 1)
    // One bit, in the last tensor.
    var bytes = try Data(contentsOf: file)
    bytes[bytes.count - 2] ^= 1
    try bytes.write(to: file)
    let wrong = try load(file)
    #expect(wrong.status == 1 && wrong.standardOutput.isEmpty)
    #expect(wrong.standardError == "head.weight: not as it is in the file\n")
  }
}
