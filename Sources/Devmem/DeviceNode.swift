// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem

/// Why a device node cannot be opened, and the way out. An absent node is not an absent driver
/// (containers have few nodes), and root that is refused lacks no group.
package struct DeviceNode: Sendable {
  /// How the kernel lists the driver.
  package enum Listing: Sendable {
    /// A line of /proc/misc.
    case misc(String)
    /// A character device of /proc/devices.
    case character(String)
  }

  package let path: String
  package let listing: Listing
  /// What stands before /proc; tests have other machines there.
  package var root = ""

  package init(path: String, listing: Listing, root: String = "") {
    self.path = path
    self.listing = listing
    self.root = root
  }

  /// /dev/udmabuf
  package static var udmabuf: DeviceNode {
    DeviceNode(path: UDMABufDevice.path, listing: .misc("udmabuf"))
  }

  /// A heap.
  package static func heap(_ name: String) -> DeviceNode {
    DeviceNode(path: "\(DMAHeap.directory)/\(name)", listing: .character("dma_heap"))
  }

  /// A DRM card.
  package static func card(_ path: String) -> DeviceNode {
    DeviceNode(path: path, listing: .character("drm"))
  }

  /// Whether the running kernel has the driver; nil where /proc does not say.
  package var isInKernel: Bool? {
    let (file, name) =
      switch listing {
      case .misc(let name): ("/proc/misc", name)
      case .character(let name): ("/proc/devices", name)
      }
    guard let text = try? SystemFile.text(at: root + file) else { return nil }
    // "123 udmabuf"
    return text.split(separator: "\n").contains {
      $0.split(separator: " ").last.map(String.init) == name
    }
  }

  /// The way out where the node is absent although the kernel has the driver; nil if it has not, or
  /// that cannot be seen.
  package var absentRemedy: String? {
    guard isInKernel == true else { return nil }
    return "The kernel has the driver, only the node is missing here, as in a container:"
      + " docker run --device \(path) (podman the same; Kubernetes: a device plugin);"
      + " outside of a container: \(SystemProcess.asRoot("udevadm trigger"))"
  }

  /// The way out where the node refuses.
  ///
  /// - Parameter group: the group that the node belongs to, for users.
  package func refusedRemedy(group: String?) -> String {
    guard SystemProcess.effectiveUser != 0 else {
      return "Root is refused, so it is no matter of groups: a container's device list"
        + " (docker run --device \(path)), a file system mounted with nodev (findmnt -T \(path)),"
        + " or a security module (dmesg | tail)."
    }
    guard let group else { return "It belongs to root: run with sudo." }
    return "Add yourself to group \(group) and log in again: sudo usermod -aG \(group) $USER"
      + " (or run with sudo)"
  }
}
