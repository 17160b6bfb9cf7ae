// SPDX-License-Identifier: Apache-2.0

internal import Devmem
package import DevmemSystem

/// Why something with a Vulkan device failed: a code to act on, the errno that the driver's answer
/// stands for (CVulkanShims.h), what was being done, and the way out.
package struct VulkanError: Error, Hashable, Sendable, CarriesErrno, CustomStringConvertible {
  /// What went wrong.
  package enum Code: String, CaseIterable, Hashable, Sendable {
    /// There is no libvulkan.so.1.
    case libraryMissing
    /// There is no validation layer.
    case layerMissing
    /// There is no driver, or none for a device of this machine.
    case noDevice
    /// No device has that name or UUID.
    case noSuchDevice
    /// The device, or its driver, lacks what dma-bufs need.
    case deviceUnsupported
    /// The buffer is a bare memory file.
    case notADMABuf
    /// The device does not take this dma-buf.
    case bufferRefused
    /// More bytes, or more fragments, than the device takes.
    case sizeLimit
    /// A fragment is not wholly in the memory, or does not lie as the shader wants it.
    case invalidFragment
    /// Too little memory, of the process or of the device.
    case outOfMemory
    /// Too many open files.
    case descriptorLimit
    /// The device does not take this shader.
    case shaderRefused
    /// The device failed; what the job was to write may be anything.
    case deviceLost
    /// The job had not ended when the time was up.
    case timedOut
    /// Another failure; see `underlying`.
    case driver
  }

  /// What went wrong.
  package let code: Code
  /// What the driver's answer stands for; nil where we refused before asking it.
  package let underlying: Errno?
  /// What was being done.
  package let operation: String
  /// The way out, as a command where there is one; nil where there is none.
  package let remedy: String?

  init(_ code: Code, _ operation: String, underlying: Errno? = nil, remedy: String? = nil) {
    self.code = code
    self.underlying = underlying
    self.operation = operation
    self.remedy = remedy
  }

  package var carriedErrno: Errno? { underlying }

  /// One line: operation, code, errno and the remedy.
  package var description: String { line(operation, code: code.rawValue, remedy: remedy) }
}

extension VulkanError {
  static func opening(_ errno: Errno) -> VulkanError {
    let operation = "opening Vulkan"
    switch errno {
    case .libraryMissing:
      return VulkanError(
        .libraryMissing, operation, underlying: errno,
        remedy: "There is no libvulkan.so.1: sudo apt-get install libvulkan1")
    case .layerMissing:
      return VulkanError(
        .layerMissing, operation, underlying: errno,
        remedy: "sudo apt-get install vulkan-validationlayers")
    case .ENODEV: return noDevice(errno)
    default: return step(operation, errno)
    }
  }

  static func noDevice(_ errno: Errno? = nil) -> VulkanError {
    VulkanError(
      .noDevice, "looking for a Vulkan device", underlying: errno,
      remedy: "Install the driver of the device, or one in software:"
        + " sudo apt-get install mesa-vulkan-drivers (25 or newer takes dma-bufs)")
  }

  static func importing(_ byteCount: Int, into device: String, _ errno: Errno) -> VulkanError {
    let operation = "importing a dma-buf of \(byteCount) bytes into \(device)"
    switch errno {
    case .EINVAL, .ENXIO, .EMSGSIZE, .driver:
      return VulkanError(
        .bufferRefused, operation, underlying: errno,
        remedy: "The device cannot reach this memory, or not as a storage buffer: use memory that"
          + " the device allocates and exports.")
    default: return step(operation, errno)
    }
  }

  /// Any step: what means the same everywhere.
  static func step(_ operation: String, _ errno: Errno) -> VulkanError {
    switch errno {
    case .ENOMEM:
      VulkanError(
        .outOfMemory, operation, underlying: errno, remedy: "Ask for less, or free memory.")
    case .ENOSPC:
      VulkanError(
        .outOfMemory, operation, underlying: errno,
        remedy: "The device's memory is full: ask for less, or free memory of the device.")
    case .EMFILE, .ENFILE:
      VulkanError(
        .descriptorLimit, operation, underlying: errno,
        remedy: DevmemError.step(operation, errno).remedy)
    case .EIO:
      VulkanError(
        .deviceLost, operation, underlying: errno,
        remedy: "Open the device anew; the kernel says what happened: sudo dmesg | tail")
    default: VulkanError(.driver, operation, underlying: errno)
    }
  }

  static func wrapping<Result: ~Copyable>(
    _ translate: (Errno) -> VulkanError, _ body: () throws(Errno) -> Result
  ) throws(VulkanError) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw translate(error)
    }
  }
}

// What CVulkanShims makes of a VkResult and DevmemSystem has no name for.
extension Errno {
  /// There is no libvulkan.so.1 (`ELIBACC`).
  static let libraryMissing = Errno(rawValue: 79)
  /// There is no validation layer (`ENOPKG`).
  static let layerMissing = Errno(rawValue: 65)
  /// An answer without an errno of its own (`EPROTO`).
  static let driver = Errno(rawValue: 71)
}
