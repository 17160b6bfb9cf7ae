// SPDX-License-Identifier: Apache-2.0

import DevmemNIC

/// Everything the checks may ask about a machine. Each check is a function of this value alone, so
/// tests hand it made-up machines; `Probe.live()` asks the real one.
struct Probe: Sendable {
  /// Why an attempt did not work: the errno's name or text, and the remedy if the library knows
  /// one.
  struct Failure: Error, Sendable, Equatable {
    var reason: String
    var remedy: Remedy?
  }

  /// Whether the kernel's `netdev` generic netlink family offers a command.
  enum Support: Sendable, Equatable {
    case present, absent
    case unknown(String)
  }

  /// A soft resource limit; nil is unlimited.
  struct Limits: Sendable, Equatable {
    var lockedByteCount: Int?
    var openFileCount: Int?
  }

  /// What the kernel says it has of io_uring's zero-copy receive.
  struct ZeroCopy: Sendable, Equatable {
    var takesDMABufs = true
    var hasBufferSize = true
    var hasNoDevice = true
    var canGrow = true
    /// Whether this user may: CAP_NET_ADMIN.
    var isPermitted = true
  }

  /// A real exporter, in the order in which the doctor tries them.
  enum Exporter: String, Sendable, CaseIterable {
    case udmabuf, heap, drm
  }

  /// How this program was called, for commands that call it again.
  var program: String
  var files: FileTree
  /// `uname -r`.
  var kernelRelease: String
  var isRoot: Bool
  var limits: Limits
  /// Opens a device node for reading and writing: nil when it worked, else the errno.
  var openError: @Sendable (String) -> Int32?
  /// The driver's own name for a DRM card, nil when the node can't be opened.
  var drmDriver: @Sendable (String) -> String?
  /// Allocates one page from an exporter as the demo would, and lets it go.
  var tryExporter: @Sendable (Exporter) -> Failure?
  /// Whether `bind-rx` is among the commands of the netdev family.
  var bindReceiveCommand: @Sendable () -> Support
  /// What each network interface could do of devmem TCP, or why the kernel could not be asked.
  var networkCapabilities: @Sendable () -> Result<[NICCapabilities], Failure>
  /// Opens an AF_XDP socket: nil when it worked, else the errno.
  var xdpSocketError: @Sendable () -> Int32?
  /// Makes an io_uring: nil when it worked.
  var uringFailure: @Sendable () -> Failure?
  /// Asks the kernel for zero-copy receive (`IORING_REGISTER_QUERY`).
  var zeroCopy: @Sendable () -> Result<ZeroCopy, Failure>

  /// The value of a kernel build option (`y`, `m`, or `n` for "is not set"); nil when no
  /// configuration file is readable or it does not know the option.
  func kernelOption(_ option: String) -> String? {
    for path in ["/boot/config-\(kernelRelease)", "/lib/modules/\(kernelRelease)/config"] {
      guard let text = files.text(path) else { continue }
      for line in text.split(separator: "\n") {
        if line == "# \(option) is not set" { return "n" }
        if line.hasPrefix(option + "=") { return String(line.dropFirst(option.count + 1)) }
      }
      // Options whose dependencies are off are left out of the file altogether.
      return "n"
    }
    return nil
  }

  /// Major and minor number of the kernel; nil for a release that does not begin with two numbers.
  var kernelVersion: (major: Int, minor: Int)? {
    let parts = kernelRelease.split(separator: ".", maxSplits: 2).map {
      Int($0.prefix(while: \.isNumber))
    }
    guard parts.count >= 2, let major = parts[0], let minor = parts[1] else { return nil }
    return (major, minor)
  }

  /// What puts a kernel with udmabuf, dma-heaps and NET_DEVMEM under this system.
  var newerKernel: Remedy {
    let release = files.text("/etc/os-release") ?? ""
    func field(_ key: String) -> String? {
      release.split(separator: "\n").first { $0.hasPrefix(key + "=") }
        .map { $0.dropFirst(key.count + 1).filter { $0 != "\"" } }
    }
    guard field("ID") == "debian", let codename = field("VERSION_CODENAME") else {
      return .advice(
        "A newer kernel of this distribution, or one in a virtual machine.")
    }
    let suite = "\(codename)-backports"
    // apt-get knows no suite that is in none of its sources.
    let add =
      hasAptSource(suite)
      ? ""
      : "echo 'deb http://deb.debian.org/debian \(suite) main'"
        + " | sudo tee /etc/apt/sources.list.d/backports.list && "
    return .command(
      add + "sudo apt-get update && sudo apt-get install -y -t \(suite)"
        + " \"linux-image-$(dpkg --print-architecture)\" && sudo reboot")
  }

  /// Whether one of apt's sources, in either of their formats, has a suite.
  private func hasAptSource(_ suite: String) -> Bool {
    let folder = "/etc/apt/sources.list.d"
    let paths = ["/etc/apt/sources.list"] + files.entries(folder).map { "\(folder)/\($0)" }
    return paths.compactMap { files.text($0) }.contains { text in
      text.split(separator: "\n").contains { line in
        let words = line.split { $0 == " " || $0 == "\t" }
        return words.first?.hasPrefix("#") == false && words.contains { $0 == suite }
      }
    }
  }
}
