// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem

extension DevmemError {
  init(
    _ code: Code, _ operation: String, interface: NetworkInterface?, underlying: Errno? = nil,
    cause: String? = nil, remedy: String? = nil
  ) {
    self.init(
      code, operation, interface: interface?.name, underlying: underlying, cause: cause,
      remedy: remedy)
  }

  /// Runs netlink requests; a failure becomes the error that `translate` makes of it.
  static func wrapping<Result: ~Copyable>(
    _ translate: (NetlinkFailure) -> DevmemError,
    _ body: () throws(NetlinkFailure) -> Result
  ) throws(DevmemError) -> Result {
    do throws(NetlinkFailure) {
      return try body()
    } catch {
      throw translate(error)
    }
  }

  /// Any step: the errnos that mean the same everywhere.
  static func step(
    _ operation: String, interface: NetworkInterface? = nil, _ failure: NetlinkFailure,
    otherwise code: Code = .systemCall, remedy: String? = nil
  ) -> DevmemError {
    let (code, remedy): (Code, String?) =
      switch failure.errno {
      case .EPERM, .EACCES:
        (
          .permissionDenied,
          "Run as root, or with CAP_NET_ADMIN in the network namespace of the interface."
        )
      case .ENODEV:
        (.interfaceMissing, "The interfaces of this network namespace: ip -br link")
      case .EAGAIN:
        (.noAnswer, "Try again; if it stays so, look at the kernel's log: dmesg | tail")
      case .ENOMEM, .ENOBUFS: (.outOfMemory, "Free memory.")
      case .EMFILE: (.descriptorLimit, "Close descriptors, or raise the limit: ulimit -n 65536")
      case .ENFILE:
        (
          .descriptorLimit,
          "Raise the system's limit: echo 1048576 | sudo tee /proc/sys/fs/file-max"
        )
      default: (code, remedy)
      }
    return DevmemError(
      code, operation, interface: interface, underlying: failure.errno, cause: failure.text,
      remedy: remedy)
  }

  /// Looking up a netlink family.
  static func openingFamily(_ name: String, _ failure: NetlinkFailure) -> DevmemError {
    let operation = "asking the kernel for the netlink family \(name)"
    switch failure.errno {
    case .ENOENT, .EPROTONOSUPPORT, .EAFNOSUPPORT:
      return DevmemError(
        .kernelUnsupported, operation, underlying: failure.errno, cause: failure.text,
        remedy: newerKernelRemedy)
    default: return step(operation, failure)
    }
  }

  /// A command that the family does not list.
  static func commandMissing(
    _ command: String, _ operation: String, interface: NetworkInterface?
  ) -> DevmemError {
    DevmemError(
      .kernelUnsupported, operation, interface: interface, underlying: .EOPNOTSUPP,
      cause: nil, remedy: "This kernel's netlink has no \(command). \(newerKernelRemedy)")
  }

  /// Where the running kernel is too old, or was built without it.
  package static var newerKernelRemedy: String {
    let release = (try? SystemProcess.kernelRelease()) ?? "(unknown)"
    return "This is Linux \(release); device memory TCP needs CONFIG_NET_DEVMEM=y of Linux 6.12 to"
      + " receive and of 6.16 to send. Debian: the kernels of backports have it."
  }

  /// What can take device memory, where an interface cannot.
  static let capableDevices =
    "A network card whose driver binds device memory can (mlx5_core, bnxt_en, gve, fbnic)."
}
