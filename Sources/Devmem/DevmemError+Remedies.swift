// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

// The ways out, and the translation of errnos into codes: one function per kind of step.
extension DevmemError {
  /// Runs a system call; an errno becomes the error that `translate` makes of it.
  static func wrapping<Result: ~Copyable>(
    _ translate: (Errno) -> DevmemError, _ body: () throws(Errno) -> Result
  ) throws(DevmemError) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw translate(error)
    }
  }

  /// Any step: the errnos that mean the same everywhere.
  package static func step(_ operation: String, _ errno: Errno) -> DevmemError {
    switch errno {
    case .EMFILE:
      DevmemError(
        .descriptorLimit, operation, underlying: errno,
        remedy: "Close descriptors, or raise the limit: ulimit -n 65536")
    case .ENFILE:
      DevmemError(
        .descriptorLimit, operation, underlying: errno,
        remedy: "Raise the system's limit: echo 1048576 | sudo tee /proc/sys/fs/file-max")
    case .ENOMEM:
      DevmemError(
        .outOfMemory, operation, underlying: errno, remedy: "Ask for less, or free memory.")
    case .EACCES, .EPERM:
      DevmemError(
        .permissionDenied, operation, underlying: errno,
        remedy: SystemProcess.effectiveUser == 0
          ? "Root is refused: a container's filter of system calls, its device list or a security"
            + " module; see dmesg | tail"
          : "Run as root, with sudo.")
    case .EPIPE, .ECONNRESET, .ECONNREFUSED:
      DevmemError(.peerClosed, operation, underlying: errno)
    default:
      DevmemError(.systemCall, operation, underlying: errno)
    }
  }

  /// Opening /dev/udmabuf.
  static func openingUDMABuf(_ errno: Errno) -> DevmemError {
    let operation = "opening \(UDMABufDevice.path)"
    switch errno {
    case .ENOENT, .ENXIO, .ENODEV:
      return DevmemError(
        .exporterMissing, operation, underlying: errno,
        remedy: DeviceNode.udmabuf.absentRemedy ?? missingUDMABufRemedy())
    case .EACCES, .EPERM:
      return DevmemError(
        .permissionDenied, operation, underlying: errno,
        remedy: DeviceNode.udmabuf.refusedRemedy(group: "kvm"))
    default:
      return step(operation, errno)
    }
  }

  /// How to get a udmabuf on the running kernel.
  static func missingUDMABufRemedy() -> String {
    let release = (try? SystemProcess.kernelRelease()) ?? "(unknown)"
    return "Linux \(release) runs without udmabuf, which is built in or absent, never a module"
      + " (CONFIG_UDMABUF=y; check: grep UDMABUF /boot/config-$(uname -r))."
      + " Debian 12's own kernel has it off, Debian's backports and later kernels have it on:"
      + " add bookworm-backports to apt's sources (https://backports.debian.org/Instructions/),"
      + " then sudo apt install -t bookworm-backports linux-image-amd64, then reboot."
      + " Without a reboot: a virtual machine with such a kernel does."
  }

  /// One dma-buf larger than size_limit_mb.
  static func udmabufSizeLimit(byteCount: Int, limits: UDMABufDevice.Limits) -> DevmemError {
    let file = "\(UDMABufDevice.parametersPath)/size_limit_mb"
    // Not by rounding the sum up, which overflows near the largest Int.
    let needed = (byteCount - 1) >> 20 + 1
    return DevmemError(
      .sizeLimit,
      "making a udmabuf of \(byteCount) bytes where \(file) allows \(limits.byteCount >> 20) MiB",
      remedy: "Raise size_limit_mb: echo \(needed) | sudo tee \(file)"
        + " (or ask for several dma-bufs: DMABuf.udmabufs)")
  }

  /// One dma-buf of more ranges than list_limit.
  static func udmabufListLimit(count: Int, limits: UDMABufDevice.Limits) -> DevmemError {
    let file = "\(UDMABufDevice.parametersPath)/list_limit"
    return DevmemError(
      .listLimit, "making a udmabuf of \(count) ranges where \(file) allows \(limits.itemCount)",
      remedy: "Raise list_limit: echo \(count) | sudo tee \(file)")
  }

  /// UDMABUF_CREATE and UDMABUF_CREATE_LIST, after everything that can be checked was checked.
  static func creatingUDMABuf(_ byteCount: Int, _ errno: Errno) -> DevmemError {
    let operation = "making a udmabuf of \(byteCount) bytes"
    switch errno {
    case .EINVAL, .EBADFD, .ENOTTY:
      return DevmemError(
        .exporterRefused, operation, underlying: errno,
        remedy: "The memory file must be a memfd, sealed against shrinking and not against writing,"
          + " and the buffer within the limits in \(UDMABufDevice.parametersPath).")
    default:
      return step(operation, errno)
    }
  }

  /// Making, mapping, binding and populating a memory file.
  static func memoryFile(
    _ verb: String, byteCount: Int, pageSize: PageSize, node: Int?, _ errno: Errno
  ) -> DevmemError {
    let place = node.map { " on node \($0)" } ?? ""
    return memory(
      "\(verb) a memory file of \(byteCount) bytes in \(pageSize.rawValue) pages\(place)",
      byteCount: byteCount, pageSize: pageSize, node: node, errno)
  }

  /// Getting pages, of a memory file or anonymous.
  static func memory(
    _ operation: String, byteCount: Int, pageSize: PageSize, node: Int?, _ errno: Errno
  ) -> DevmemError {
    let place = node.map { " on node \($0)" } ?? ""
    switch errno {
    case .ENODEV where pageSize != .base4K:
      return DevmemError(
        .noHugePages, operation, underlying: errno,
        remedy: "This machine has no huge pages of that size: ls /sys/kernel/mm/hugepages")
    case .ENOMEM where pageSize != .base4K, .EFAULT where pageSize != .base4K,
      .ENOSPC where pageSize != .base4K, .EFBIG where pageSize != .base4K:
      return DevmemError(
        .noHugePages, operation, underlying: errno,
        remedy: MemoryLimits.current().hugePageRemedy(
          byteCount: byteCount, pageByteCount: pageSize.byteCount)
          ?? hugePageRemedy(byteCount: byteCount, pageSize: pageSize, node: node))
    case .EFAULT, .ENOSPC, .ENOMEM, .EFBIG:
      return DevmemError(
        .outOfMemory, operation, underlying: errno,
        remedy: MemoryLimits.current().remedy(byteCount: byteCount)
          ?? "Ask for less, or free memory\(place).")
    case .EPERM where node != nil:
      return DevmemError(
        .permissionDenied, operation, underlying: errno,
        remedy: "A filter of system calls refuses mbind(2), as container runtimes' do: give the"
          + " container the capability (docker run --cap-add SYS_NICE), or ask for no node.")
    default:
      return step(operation, errno)
    }
  }

  private static func hugePageRemedy(byteCount: Int, pageSize: PageSize, node: Int?) -> String {
    // Not by rounding the sum up, which overflows near the largest Int.
    let count = (byteCount - 1) >> pageSize.shift + 1
    let folder = "hugepages-\(pageSize.byteCount >> 10)kB"
    let file =
      if let node {
        "/sys/devices/system/node/node\(node)/hugepages/\(folder)/nr_hugepages"
      } else if pageSize == .huge2M {
        "/proc/sys/vm/nr_hugepages"
      } else {
        "/sys/kernel/mm/hugepages/\(folder)/nr_hugepages"
      }
    return "Reserve huge pages (this buffer needs \(count) free ones):"
      + " echo \(count) | sudo tee \(file)"
  }

  /// Binding to a NUMA node that is not there.
  static func noSuchNode(_ node: Int, underlying: Errno? = nil) -> DevmemError {
    let nodes = NUMANode.available().map(\.description).joined(separator: ", ")
    return DevmemError(
      .noSuchNode, "binding memory to NUMA node \(node)", underlying: underlying,
      remedy: "This process may use: \(nodes)")
  }

  /// Starting the thread of an executor.
  static func startingThread(
    _ name: String, _ placement: SingleThreadExecutor.Placement, _ errno: Errno
  ) -> DevmemError {
    let operation = "starting thread \"\(name)\"\(placement.text)"
    let usable = try? ProcessorSet.ofProcess()
    switch (placement, errno) {
    case (.processor, .EINVAL):
      let remedy = usable.map { "This process runs on processors \($0)" }
      return DevmemError(.noSuchProcessor, operation, underlying: errno, remedy: remedy)
    case (.node, .EINVAL), (.node, .ENODEV):
      let nodes = NUMANode.available().filter { node in
        guard let usable, let processors = try? ProcessorSet.of(node) else { return false }
        return !processors.isDisjoint(with: usable)
      }
      return DevmemError(
        .noSuchNode, operation, underlying: errno,
        remedy: "Nodes with processors that this process runs on: "
          + nodes.map(\.description).joined(separator: ", "))
    case (_, .EAGAIN):
      return DevmemError(
        .threadLimit, operation, underlying: errno,
        remedy: "End threads, or raise the limit: ulimit -u, pids.max of the control group"
          + " or /proc/sys/kernel/threads-max")
    default:
      return step(operation, errno)
    }
  }
}
