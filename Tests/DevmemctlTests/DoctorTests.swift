// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemURing
import Foundation
import Glibc
import Testing

@testable import devmemctl

@Suite("doctor")
struct DoctorTests {
  let machine = MadeUpMachine()

  @Test("a machine with everything is ok on every line and needs no fix")
  func everything() {
    let report = DoctorReport(machine.probe)
    #expect(report.results.count == 18)
    for result in report.results {
      #expect(result.status == .ok, "\(result.name): \(result.summary)")
      #expect(result.fix == nil)
    }
    #expect(report.canRunDemo)
  }

  @Test("names of checks are unique")
  func unique() {
    let names = DoctorReport(machine.probe).results.map(\.name)
    #expect(Set(names).count == names.count)
  }

  @Test(
    "kernels before 4.20 fail, before 6.11 warn",
    arguments: [
      ("4.19.0-27-amd64", CheckResult.Status.fail), ("4.20.1", .warn), ("6.1.0-48-amd64", .warn),
      ("6.10.9", .warn), ("6.11.0", .ok), ("7.3.4+deb13", .ok), ("10.0-rc1", .ok),
      ("strange", .warn),
    ])
  func kernel(release: String, status: CheckResult.Status) {
    var probe = machine.probe
    probe.kernelRelease = release
    #expect(checkKernel(probe).status == status)
    #expect((checkKernel(probe).fix == nil) == (status == .ok))
  }

  @Test("a missing udmabuf fails, says which option is off and names the backports kernel")
  func missingUDMABuf() throws {
    machine.take("/dev/udmabuf")
    machine.write("/boot/config-7.3.4-test", "# CONFIG_UDMABUF is not set\n")
    let result = checkUDMABuf(machine.probe)
    #expect(result.status == .fail)
    #expect(result.summary.contains("CONFIG_UDMABUF"))
    let fix = try #require(result.fix)
    #expect(fix.contains("bookworm-backports"))
  }

  @Test("apt-get is given the source of the backports unless it has it")
  func backportsSource() throws {
    machine.take("/dev/udmabuf")
    let added = "echo 'deb http://deb.debian.org/debian bookworm-backports main' | sudo tee"
    func fix() throws -> String { try #require(checkUDMABuf(machine.probe).fix) }
    #expect(try fix().hasPrefix(added))
    machine.write("/etc/apt/sources.list", "# deb http://x bookworm-backports main\n")
    #expect(try fix().hasPrefix(added))
    machine.write(
      "/etc/apt/sources.list.d/b.sources",
      "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: bookworm-backports\n")
    #expect(try fix().hasPrefix("sudo apt-get update && sudo apt-get install -y -t bookworm-back"))
  }

  @Test("another distribution is not told to use apt-get")
  func otherDistribution() {
    machine.take("/dev/udmabuf")
    machine.write("/etc/os-release", "ID=fedora\n")
    let result = checkUDMABuf(machine.probe)
    #expect(result.fix == nil)
    #expect(result.advice?.contains("virtual machine") == true)
  }

  @Test("a udmabuf without permission fails with the group to join")
  func closedUDMABuf() {
    var probe = machine.probe
    probe.openError = { $0 == "/dev/udmabuf" ? EACCES : nil }
    let result = checkUDMABuf(probe)
    #expect(result.status == .fail)
    #expect(result.fix?.contains("usermod -aG kvm") == true)
    probe.openError = { _ in EIO }
    #expect(checkUDMABuf(probe).summary.contains("Input/output error"))
  }

  @Test("size_limit_mb below the demo's 64 MiB warns with the file to change; 64 is enough")
  func limits() {
    machine.write("/sys/module/udmabuf/parameters/size_limit_mb", "63\n")
    let result = checkUDMABufLimits(machine.probe)
    #expect(result.status == .warn)
    #expect(result.fix?.contains("/sys/module/udmabuf/parameters/size_limit_mb") == true)
    machine.write("/sys/module/udmabuf/parameters/size_limit_mb", "64\n")
    #expect(checkUDMABufLimits(machine.probe).status == .ok)
    machine.take("/sys/module/udmabuf/parameters")
    #expect(checkUDMABufLimits(machine.probe).status == .warn)
  }

  @Test("dma-heaps are listed; none or closed ones warn")
  func heaps() {
    machine.write("/dev/dma_heap/linux,cma", "")
    #expect(checkDMAHeaps(machine.probe).summary == "linux,cma, system")
    var probe = machine.probe
    probe.openError = { $0.hasSuffix("linux,cma") ? EACCES : nil }
    #expect(checkDMAHeaps(probe).status == .warn)
    #expect(checkDMAHeaps(probe).fix?.contains("/dev/dma_heap/linux,cma") == true)
    machine.take("/dev/dma_heap")
    #expect(checkDMAHeaps(machine.probe).status == .warn)
  }

  @Test("DRM cards are listed with their drivers, render nodes are not")
  func cards() {
    #expect(checkDRM(machine.probe).summary == "card0 (vgem)")
    var probe = machine.probe
    probe.drmDriver = { _ in nil }
    #expect(checkDRM(probe).status == .warn)
    machine.take("/dev/dri/card0")
    #expect(checkDRM(machine.probe).fix == "sudo modprobe vgem")
  }

  @Test("31 free huge pages are too few for the demo, 32 are enough")
  func hugePages() {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
    machine.write(path, "31\n")
    #expect(checkHugePages(machine.probe).status == .warn)
    machine.write(path, "32\n")
    #expect(checkHugePages(machine.probe).status == .ok)
    #expect(checkHugePages(machine.probe).summary.contains("32 of 64 free at 2 MiB"))
    machine.take("/sys/kernel/mm/hugepages")
    #expect(checkHugePages(machine.probe).status == .warn)
  }

  @Test("NUMA nodes are listed with their memory")
  func nodes() {
    #expect(checkNUMA(machine.probe).summary == "node 0 (2 GiB), node 1 (1 GiB)")
    machine.take("/sys/devices/system/node")
    #expect(checkNUMA(machine.probe).status == .warn)
  }

  @Test("a small memlock warns a user and not root")
  func lockedMemory() {
    var probe = machine.probe
    probe.limits.lockedByteCount = 8 << 20
    #expect(checkLockedMemory(probe).status == .warn)
    probe.isRoot = true
    #expect(checkLockedMemory(probe).status == .ok)
    probe.isRoot = false
    probe.limits.lockedByteCount = 64 << 20
    #expect(checkLockedMemory(probe).status == .ok)
  }

  @Test("fewer than 1024 descriptors warn")
  func openFiles() {
    var probe = machine.probe
    probe.limits.openFileCount = 1023
    #expect(checkOpenFiles(probe).status == .warn)
    probe.limits.openFileCount = nil
    #expect(checkOpenFiles(probe) == .ok("nofile", "unlimited"))
  }

  @Test("NET_DEVMEM comes from the configuration, else the netlink family, else it is unknown")
  func netDevmem() {
    #expect(checkNetDevmem(machine.probe).status == .ok)
    machine.write("/boot/config-7.3.4-test", "CONFIG_NET=y\n")
    #expect(checkNetDevmem(machine.probe).summary.hasPrefix("not built"))
    machine.take("/boot/config-7.3.4-test")
    var probe = machine.probe
    #expect(checkNetDevmem(probe).summary.hasPrefix("unknown"))
    probe.bindReceiveCommand = { .absent }
    #expect(checkNetDevmem(probe).summary.contains("no bind-rx"))
    probe.bindReceiveCommand = { .unknown("a reason") }
    #expect(checkNetDevmem(probe).summary == "unknown: a reason")
    machine.write("/lib/modules/7.3.4-test/config", "CONFIG_NET_DEVMEM=y\n")
    #expect(checkNetDevmem(probe).status == .ok)
  }

  @Test("AF_XDP tells a missing family from a missing privilege")
  func xdp() {
    var probe = machine.probe
    probe.xdpSocketError = { EPERM }
    #expect(checkXDP(probe).summary.contains("CAP_NET_RAW"))
    probe.xdpSocketError = { EAFNOSUPPORT }
    #expect(checkXDP(probe).summary.contains("CONFIG_XDP_SOCKETS"))
    #expect(checkXDP(probe).status == .warn)
  }

  @Test("io_uring and each part of zero-copy receive have a line, by the kernel's own word")
  func uring() {
    func statuses(_ change: (inout Probe.ZeroCopy) -> Void) -> [CheckResult.Status] {
      var known = Probe.ZeroCopy()
      change(&known)
      var probe = machine.probe
      probe.zeroCopy = { [known] in .success(known) }
      return checkURing(probe).map(\.status)
    }
    #expect(
      checkURing(machine.probe).map(\.name) == ["io_uring", "zcrx", "zcrx NODEV", "zcrx ADD_AREA"])
    #expect(statuses { _ in } == [.ok, .ok, .ok, .ok])
    #expect(statuses { $0.takesDMABufs = false } == [.ok, .warn, .ok, .ok])
    #expect(statuses { $0.hasNoDevice = false } == [.ok, .ok, .warn, .ok])
    #expect(statuses { $0.canGrow = false } == [.ok, .ok, .ok, .warn])
    #expect(statuses { $0.isPermitted = false } == [.ok, .warn, .warn, .warn])
    var probe = machine.probe
    probe.uringFailure = { .init(reason: "switched off", remedy: .advice("switch it on")) }
    probe.zeroCopy = { .failure(.init(reason: "not known", remedy: nil)) }
    let results = checkURing(probe)
    #expect(results.allSatisfy { $0.status == .warn && $0.remedy != nil })
    #expect(results.map(\.summary) == ["switched off"] + [String](repeating: "not known", count: 3))
  }

  @Test("of zero-copy receive without a card the doctor says of this machine what then happens")
  func zeroCopyHere() throws {
    let result = try #require(checkURing(.live()).first { $0.name == "zcrx NODEV" })
    do {
      let memory = try DMABuf.memoryFile(byteCount: 65536)
      _ = try ZeroCopyInstance(memory: memory, from: .anySocket)
      #expect(result.status == .ok, "\(result.summary)")
    } catch let error as URingError {
      #expect(result.status == .warn, "\(error)")
      #expect(result.remedy != nil)
    }
  }

  @Test("each interface shows what it could do, and what is missing with what would provide it")
  func interfaces() {
    var probe = machine.probe
    let able = checkInterfaces(probe)
    #expect(able.map(\.name) == ["interfaces", "interface eth0"])
    #expect(able[0].summary == "devmem TCP: eth0")
    #expect(able[1] == .ok("interface eth0", "receive (gve): yes; send: yes"))
    let loopback = NICCapabilities(
      interface: NetworkInterface(name: "lo", index: 1),
      receive: .unsupported([
        .init("queue management", remedy: "another card"), .init("a split", remedy: "yet another"),
      ]), transmit: .unknown(reason: "Operation not permitted", remedy: "sudo"))
    probe.networkCapabilities = { .success([loopback, MadeUpMachine.capableInterface]) }
    let mixed = checkInterfaces(probe)
    #expect(mixed.map(\.status) == [.ok, .warn, .ok])
    #expect(
      mixed[1].summary
        == "receive: no, it lacks queue management, a split; "
        + "send: unknown (Operation not permitted)"
    )
    #expect(mixed[1].advice == "another card")
    #expect(mixed[1].fix == nil)
    probe.networkCapabilities = { .success([loopback]) }
    #expect(checkInterfaces(probe)[0].status == .warn)
    #expect(checkInterfaces(probe)[0].summary == "none of 1 can do devmem TCP")
    probe.networkCapabilities = { .failure(.init(reason: "no family", remedy: nil)) }
    #expect(checkInterfaces(probe).map(\.status) == [.warn])
    #expect(checkInterfaces(probe)[0].summary.contains("no family"))
  }

  @Test("without udmabuf the heap still runs the demo, and the line says how")
  func secondExporter() {
    var probe = machine.probe
    probe.tryExporter = {
      $0 == .udmabuf ? Probe.Failure(reason: "gone", remedy: .advice("bring it back")) : nil
    }
    let report = DoctorReport(probe)
    let result = checkExporter(probe)
    #expect(result.status == .warn)
    #expect(result.fix == "devmemctl demo --exporter heap")
    #expect(!report.canRunDemo, "as it is by default, it cannot")
  }

  @Test("without any exporter the doctor fails with the first one's remedy")
  func noExporter() {
    var probe = machine.probe
    probe.tryExporter = {
      Probe.Failure(reason: "no \($0.rawValue)", remedy: .command("fix \($0.rawValue)"))
    }
    let result = checkExporter(probe)
    #expect(result.status == .fail)
    #expect(result.fix == "fix udmabuf")
    for name in ["udmabuf", "heap", "drm"] { #expect(result.summary.contains("no \(name)")) }
    #expect(!DoctorReport(probe).canRunDemo)
  }

  @Test("the JSON object is on one line and says what the table says")
  func json() throws {
    machine.take("/dev/dri")
    let report = DoctorReport(machine.probe)
    let text = report.json.text
    #expect(!text.contains("\n"))
    let parsed = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    #expect(parsed["kernel"] as? String == "7.3.4-test")
    #expect(parsed["canRunDemo"] as? Bool == true)
    let checks = try #require(parsed["checks"] as? [[String: Any]])
    #expect(checks.count == report.results.count)
    let card = try #require(checks.first { $0["name"] as? String == "DRM cards" })
    #expect(card["status"] as? String == "warn")
    #expect(card["fix"] as? String == "sudo modprobe vgem")
  }

  @Test("the table is aligned, and without colours when nobody watches")
  func table() {
    let lines = DoctorReport(machine.probe).table(for: Terminal(descriptor: -1))
      .split(separator: "\n")
    #expect(lines.count == 19)
    #expect(!lines.contains { $0.contains("\u{1B}") })
    let width = DoctorReport(machine.probe).results.map(\.name.count).max() ?? 0
    for line in lines.dropLast() {
      let gap = line.dropFirst(6 + width).prefix(2)
      #expect(gap == "  ", "\(line)")
    }
  }
}
