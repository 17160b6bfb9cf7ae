// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemTestSupport
import Foundation
import Glibc
import Testing

/// `devmemctl netdev` as a user runs it, on a card that can.
@Suite("devmem TCP: devmemctl netdev", .onDevmemSim, .serialized) struct NetdevCommandTests {
  /// The process has ended before it was ready.
  private struct Ended: Error {
    let standardError: String
  }

  /// A binding process that has said what it bound.
  private final class Binding {
    let process: DevmemctlProcess
    let path: String
    let socket: UnixSocket

    /// Starts it and connects; the connection is also how one knows that it is ready.
    init(_ more: [String] = [], path given: String? = nil) throws {
      path = given ?? "\(FileManager.default.temporaryDirectory.path)/bind-\(UUID().uuidString)"
      let listening = more.contains("--socket") ? [] : ["--socket", path]
      process = try DevmemctlProcess(
        ["netdev", "bind", "dmsim0", "--bytes", "4M", "--json"] + listening + more)
      socket = try Self.connect(path, process)
    }

    private static func connect(_ path: String, _ process: DevmemctlProcess) throws -> UnixSocket {
      while process.process.isRunning {
        if let socket = try? UnixSocket.connect(path: path) { return socket }
        usleep(20_000)
      }
      throw Ended(standardError: try process.wait().standardError)
    }

    /// The dma-buf and what is said about it.
    func receive() throws -> (DMABuf, [String: Any]) {
      var message = try socket.receive(byteLimit: 4096, descriptorLimit: 1)
      let line = try JSONSerialization.jsonObject(with: Data(message.bytes)) as? [String: Any]
      guard let descriptor = message.descriptors.popFirst(), let line else { throw Errno.EINVAL }
      return (try DMABuf.imported(descriptor), line)
    }
  }

  /// Until the card is as before: the guard of a killed process needs a moment.
  private func waitUntil(_ interface: NetworkInterface, is before: NICSnapshot) throws -> Bool {
    for _ in 0..<1000 {
      if try NICSnapshot(of: interface) == before { return true }
      usleep(20_000)
    }
    return false
  }

  @Test("list shows the card as able, and what is bound to it")
  func list() throws {
    let nic = try SimulatedNIC()
    let output = try DevmemctlProcess.run(["netdev", "list", "--json"])
    #expect(output.status == 0)
    let interfaces = try #require(try output.json()["interfaces"] as? [[String: Any]])
    let card = try #require(interfaces.first { $0["interface"] as? String == "dmsim0" })
    #expect((card["receive"] as? [String: Any])?["supported"] as? Bool == true)
    #expect((card["send"] as? [String: Any])?["supported"] as? Bool == true)
    #expect(card["tcpDataSplit"] as? String == "off")
    #expect((card["bound"] as? [Any])?.isEmpty == true)
    let loopback = try #require(interfaces.first { $0["interface"] as? String == "lo" })
    #expect((loopback["receive"] as? [String: Any])?["supported"] as? Bool == false)

    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let setup = try NICSetup(nic.interface, queues: [2])
    let binding = try NetdevBinding.receive(buffer, interface: nic.interface, queues: [2])
    let table = try DevmemctlProcess.run(["netdev", "list", "dmsim0"])
    #expect(table.standardOutput.contains(" 2:\(binding.id)"), "\(table.standardOutput)")
    let pools = try DevmemctlProcess.run(["netdev", "pools", "dmsim0", "--json"])
    let all = try #require(try pools.json()["pools"] as? [[String: Any]])
    let mine = try #require(all.first { $0["dmabuf"] as? Int == Int(binding.id) })
    #expect(mine["interface"] as? String == "dmsim0")
    #expect((mine["statistics"] as? [String: Any])?.count == 11)
    binding.close()
    try setup.restore()
  }

  @Test("doctor shows the card, and what the loopback interface lacks")
  func doctor() throws {
    _ = try SimulatedNIC()
    let output = try DevmemctlProcess.run(["doctor", "--json"])
    let checks = try #require(try output.json()["checks"] as? [[String: Any]])
    func check(_ name: String) throws -> [String: Any] {
      try #require(checks.first { $0["name"] as? String == name }, "no check \(name)")
    }
    #expect(try check("interface dmsim0")["status"] as? String == "ok")
    #expect((try check("interfaces")["summary"] as? String)?.contains("dmsim0") == true)
    let loopback = try check("interface lo")
    #expect(loopback["status"] as? String == "warn")
    #expect((loopback["summary"] as? String)?.contains("queue management") == true)
    #expect((loopback["advice"] as? String)?.contains("mlx5_core") == true)
  }

  @Test(
    "bind hands the dma-buf out and puts the card back, however it ends",
    arguments: [SIGTERM, SIGKILL])
  func bind(signal: Int32) throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let binding = try Binding(["--queues", "2,3", "--port", "5201", "--port", "5202"])
    let (buffer, line) = try binding.receive()
    #expect(buffer.byteCount == 4 << 20)
    #expect(line["interface"] as? String == "dmsim0")
    #expect(line["queues"] as? [Int] == [2, 3])
    let id = try #require(line["dmabuf"] as? Int)
    var family = try NetdevFamily()
    #expect(try family.queue(.receive, 2, of: nic.interface).dmabufID == UInt32(id))
    #expect(try family.queue(.receive, 3, of: nic.interface).dmabufID == UInt32(id))
    let during = try NICSnapshot(of: nic.interface)
    #expect(during.rings.dataSplit == .enabled)
    #expect(during.rules.count == before.rules.count + 4)
    // A second one gets it too.
    let again = try UnixSocket.connect(path: binding.path)
    let message = try again.receive(byteLimit: 4096, descriptorLimit: 1)
    #expect(message.descriptors.count == 1)

    kill(binding.process.process.processIdentifier, signal)
    let output = try binding.process.wait()
    #expect(try waitUntil(nic.interface, is: before))
    #expect(try family.queues(of: nic.interface).allSatisfy { $0.dmabufID == nil })
    if signal == SIGKILL {
      unsafe unlink(binding.path)
    } else {
      #expect(output.status == 0, "\(output.standardError)")
      #expect(!FileManager.default.fileExists(atPath: binding.path), "the socket's path is gone")
      #expect(try NICSnapshot(of: nic.interface) == before, "put back before the end")
    }
  }

  @Test("recv puts the card back when it is killed while it waits")
  func killedReceiver() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let process = try DevmemctlProcess([
      "recv", "--interface", nic.interface.name, "--port", "5203", "--buffer-size", "4M",
    ])
    var family = try NetdevFamily()
    while process.process.isRunning,
      try family.queues(of: nic.interface).allSatisfy({ $0.dmabufID == nil })
    {
      usleep(20_000)
    }
    #expect(try NICSnapshot(of: nic.interface) != before)
    kill(process.process.processIdentifier, SIGKILL)
    let output = try process.wait()
    #expect(output.status == 128 + SIGKILL, "\(output.standardError)")
    #expect(try waitUntil(nic.interface, is: before))
  }

  @Test("a refused binding puts the card back, and says why")
  func refused() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let output = try DevmemctlProcess.run([
      "netdev", "bind", "dmsim0", "--bytes", "1M", "--rx-page-size", "12K",
    ])
    #expect(output.status == 1)
    #expect(output.standardError.contains("pageSizeUnsupported"))
    #expect(try waitUntil(nic.interface, is: before))
  }

  @Test("bind --send leaves the card alone")
  func send() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let binding = try Binding(["--send"])
    let (_, line) = try binding.receive()
    #expect(line["direction"] as? String == "send")
    #expect(try NICSnapshot(of: nic.interface) == before)
    kill(binding.process.process.processIdentifier, SIGTERM)
    #expect(try binding.process.wait().status == 0)
  }

  @Test("a queue number that no card has is refused at once, and nothing is left changed")
  func queueNumberAtTheLimit() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    for list in ["4294967295", "4294967294", "1000000"] {
      let output = try DevmemctlProcess.run([
        "netdev", "bind", "dmsim0", "--bytes", "1M", "--queues", list,
      ])
      #expect(output.status == 1)
      #expect(output.standardError.contains("settingUnsupported"), "\(output.standardError)")
      #expect(try NICSnapshot(of: nic.interface) == before)
    }
  }

  @Test("a killed guard ends the binding with the command that puts the card back, which does")
  func guardKilled() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let binding = try Binding(["--queues", "2,3", "--port", "5201"])
    let number = binding.process.process.processIdentifier
    let children = try SystemFile.text(at: "/proc/\(number)/task/\(number)/children")
    let keeper = try #require(children.split(separator: " ").first.flatMap { pid_t($0) })
    kill(keeper, SIGKILL)
    let output = try binding.process.wait()
    #expect(output.status == 1)
    #expect(output.standardError.contains("has gone"), "\(output.standardError)")
    #expect(try NICSnapshot(of: nic.interface) != before)
    let line = try #require(
      output.standardError.split(separator: "\n").last {
        $0.contains("When the memory is unbound: ")
      }
    )
    let command = line.components(separatedBy: "When the memory is unbound: ")[1]
    try DevmemSim.tool("sh", "-c", command)
    #expect(try NICSnapshot(of: nic.interface) == before)
  }

  @Test("the descriptor goes to nobody else, whatever the umask, unless they are named")
  func strangers() throws {
    _ = try SimulatedNIC()
    for (options, gets) in [([], false), (["--allow-user", "65534"], true)] as [([String], Bool)] {
      for path in ["@devmem-strangers-\(UUID().uuidString)", nil] as [String?] {
        let binding = try Binding(
          options + (path.map { ["--socket", $0] } ?? []), path: path)
        let stranger = """
          import os, socket, sys
          os.setgroups([]); os.setgid(65534); os.setuid(65534)
          s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
          try:
            s.connect(sys.argv[1].replace("@", chr(0), 1))
            m, fds, _, _ = socket.recv_fds(s, 4096, 1)
            print("got" if fds else "nothing")
          except OSError as error:
            print("nothing")
          """
        let output = try DevmemSim.tool("python3", "-c", stranger, binding.path)
        #expect(output == (gets ? "got\n" : "nothing\n"))
        kill(binding.process.process.processIdentifier, SIGTERM)
        let end = try binding.process.wait()
        #expect(end.status == 0, "\(end.standardError)")
        if !gets && path != nil {
          #expect(end.standardError.contains("refused the descriptor to user 65534"))
        }
      }
    }
  }

  @Test(
    "ten thousand who connect and do not read harm nobody; a killed one's socket is replaced"
  )
  func manyClients() throws {
    let nic = try SimulatedNIC()
    let before = try NICSnapshot(of: nic.interface)
    let binding = try Binding()
    for _ in 0..<10_000 { _ = try? UnixSocket.connect(path: binding.path) }
    let held = (0..<100).compactMap { _ in try? UnixSocket.connect(path: binding.path) }
    let client = try UnixSocket.connect(path: binding.path)
    let message = try client.receive(byteLimit: 4096, descriptorLimit: 1)
    #expect(message.descriptors.count == 1)
    withExtendedLifetime(held) {}
    kill(binding.process.process.processIdentifier, SIGKILL)
    _ = try binding.process.wait()
    #expect(try waitUntil(nic.interface, is: before))
    #expect(FileManager.default.fileExists(atPath: binding.path))
    let again = try Binding(path: binding.path)
    _ = try again.receive()
    kill(again.process.process.processIdentifier, SIGTERM)
    #expect(try again.process.wait().status == 0)
  }

  @Test("an alternative name is found, and a card that is down is said to be")
  func names() throws {
    let nic = try SimulatedNIC()
    let name = "a-name-of-more-than-15-bytes"
    try DevmemSim.tool("ip", "link", "property", "add", "dev", "dmsim0", "altname", name)
    #expect(try NetworkInterface(named: name) == nic.interface)
    #expect(try DevmemctlProcess.run(["netdev", "list", name]).status == 0)
    try DevmemSim.tool("ip", "link", "property", "del", "dev", "dmsim0", "altname", name)
    try nic.setUp(false)
    let output = try DevmemctlProcess.run(["recv", "--interface", "dmsim0"])
    try nic.setUp(true)
    #expect(output.status == 1)
    #expect(output.standardError.contains("dmsim0 is down"), "\(output.standardError)")
  }
}
