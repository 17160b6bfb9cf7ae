// SPDX-License-Identifier: Apache-2.0

import DevmemNIC
import Glibc
import Synchronization

@testable import devmemctl

/// A folder that plays a machine's root file system, and a `Probe` that looks at it.
///
/// Begins as a machine on which every check is `ok`; a test takes away what it is about.
final class MadeUpMachine: Sendable {
  static let serial = Atomic<Int>(0)

  let root: String

  init() {
    let number = Self.serial.wrappingAdd(1, ordering: .relaxed).newValue
    root = "/tmp/devmemctl-tests.\(getpid()).\(number)"
    write("/dev/udmabuf", "")
    write("/dev/dma_heap/system", "")
    write("/dev/dri/card0", "")
    write("/dev/dri/renderD128", "")
    write("/sys/module/udmabuf/parameters/list_limit", "1024\n")
    write("/sys/module/udmabuf/parameters/size_limit_mb", "2147483647\n")
    write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n")
    write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64\n")
    write(
      "/sys/devices/system/node/node0/meminfo",
      "Node 0 MemTotal:        2097152 kB\nNode 0 MemFree:  100 kB\n")
    write("/sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:        1048576 kB\n")
    write("/boot/config-7.3.4-test", "CONFIG_UDMABUF=y\nCONFIG_NET_DEVMEM=y\n")
    write("/etc/os-release", "NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n")
  }

  deinit { remove(root) }

  static let capableInterface = NICCapabilities(
    interface: NetworkInterface(name: "eth0", index: 2), driver: "gve", receive: .supported,
    transmit: .supported)

  var probe: Probe {
    Probe(
      program: "devmemctl", files: FileTree(root: root), kernelRelease: "7.3.4-test", isRoot: false,
      limits: Probe.Limits(lockedByteCount: nil, openFileCount: 4096),
      openError: { _ in nil }, drmDriver: { _ in "vgem" }, tryExporter: { _ in nil },
      bindReceiveCommand: { .present }, networkCapabilities: { .success([Self.capableInterface]) },
      xdpSocketError: { nil }, uringFailure: { nil }, zeroCopy: { .success(Probe.ZeroCopy()) })
  }

  func write(_ path: String, _ text: String) {
    makeParents(of: path)
    let descriptor = unsafe open(root + path, O_CREAT | O_TRUNC | O_WRONLY, 0o644)
    precondition(descriptor >= 0, "can't write \(root)\(path)")
    var content = Array(text.utf8)
    let written = unsafe Glibc.write(descriptor, &content, content.count)
    precondition(written == content.count)
    close(descriptor)
  }

  func link(_ path: String, to target: String) {
    makeParents(of: path)
    unsafe symlink(target, root + path)
  }

  /// Takes a file, a link or a whole folder away.
  func take(_ path: String) { remove(root + path) }

  private func makeParents(of path: String) {
    var folder = root
    unsafe mkdir(folder, 0o755)
    for part in path.split(separator: "/").dropLast() {
      folder += "/" + part
      unsafe mkdir(folder, 0o755)
    }
  }

  private func remove(_ path: String) {
    let tree = FileTree(root: path)
    for name in tree.entries("") { remove(path + "/" + name) }
    if unsafe unlink(path) != 0 { unsafe rmdir(path) }
  }
}
