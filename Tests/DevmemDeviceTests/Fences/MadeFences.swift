// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemSystem
import Glibc

/// vgem's fences on a dma-buf that it imports (drivers/gpu/drm/vgem/vgem_fence.c).
final class VGEMFences: Sendable {
  private let card: OwnedFileDescriptor

  init() throws {
    for path in try DRMDevice.cards() where try DRMDevice(path: path).driverName == "vgem" {
      let number = unsafe open(path, O_RDWR | O_CLOEXEC)
      guard number >= 0 else { throw Errno(rawValue: errno) }
      card = OwnedFileDescriptor(owning: number)
      return
    }
    throw DevmemError(.exporterMissing, "looking for vgem: modprobe vgem")
  }

  /// Puts one on, as who writes the buffer (`.write`) or as who reads it.
  func attach(to buffer: DMABuf, as access: DMABufAccess) throws -> Int32 {
    let fence = buffer.withDescriptor {
      ctest_vgem_attach(card.rawValue, $0, access.contains(.write) ? 1 : 0)
    }
    guard fence >= 0 else { throw Errno(rawValue: -fence) }
    return fence
  }

  /// Ends one.
  func signal(_ fence: Int32) throws {
    let result = ctest_vgem_signal(card.rawValue, fence)
    guard result == 0 else { throw Errno(rawValue: -result) }
  }

  /// Ends one, so much later, on another thread.
  func signal(_ fence: Int32, after milliseconds: Int32) throws -> SystemThread {
    try SystemThread(name: "vgem", processors: .ofProcess()) { [self] in
      SystemProcess.pause(milliseconds: milliseconds)
      try? signal(fence)
    }
  }
}

/// Fences of devmemsim, which end when they are told, in any order, with or without an error
/// (Tests/KernelModules/devmemsim/fence.c). Those that are left end with this, as if it had died.
final class SimulatedFences: Sendable {
  private let device: OwnedFileDescriptor

  init() throws {
    let number = unsafe open("/dev/devmemsim-fence", O_RDWR | O_CLOEXEC)
    guard number >= 0 else { throw Errno(rawValue: errno) }
    device = OwnedFileDescriptor(owning: number)
  }

  /// A fence that is pending, and its number.
  func make() throws -> (Fence, UInt32) {
    var id: UInt32 = 0
    let number = unsafe ctest_fence_make(device.rawValue, &id)
    guard number >= 0 else { throw Errno(rawValue: -number) }
    return (try Fence(OwnedFileDescriptor(owning: number)), id)
  }

  /// Ends one.
  func end(_ id: UInt32, _ error: Errno? = nil) throws {
    let result = ctest_fence_end(device.rawValue, id, -(error?.rawValue ?? 0))
    guard result == 0 else { throw Errno(rawValue: -result) }
  }
}
