// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A DRM card, `/dev/dri/cardN`, through libdrm: dumb buffers, and PRIME to and from dma-bufs.
///
/// All members may be called from any thread.
package final class DRMDevice: Sendable {
  /// Where the cards are.
  package static let directory = "/dev/dri"

  /// The path it was opened by.
  package let path: String
  /// The kernel driver, "vgem", "i915"…
  package let driverName: String

  private let descriptor: OwnedFileDescriptor
  /// How many ``DRMBuffer`` values hold each handle: importing one dma-buf twice gives one handle,
  /// which one GEM_CLOSE would end for both.
  private let holders = Mutex<[UInt32: Int]>([:])

  /// The paths of all cards, sorted by number; empty without any.
  ///
  /// - Throws: `EACCES`.
  package static func cards() throws(Errno) -> [String] {
    do {
      return try SystemFile.names(in: directory)
        .compactMap { $0.hasPrefix("card") ? Int($0.dropFirst(4)) : nil }
        .sorted().map { "\(directory)/card\($0)" }
    } catch {
      if error == .ENOENT { return [] }
      throw error
    }
  }

  /// Opens a card and asks its driver's name.
  ///
  /// - Throws: `ENOENT`, `EACCES` (neither root nor in group video), `EMFILE`; `ENOTTY` and others
  ///   if it is not a DRM device.
  package init(path: String) throws(Errno) {
    let descriptor = try system_open(path, writable: true)
    self.driverName = try Self.driverName(descriptor)
    self.descriptor = descriptor
    self.path = path
  }

  private static func driverName(
    _ descriptor: borrowing OwnedFileDescriptor
  ) throws(Errno) -> String {
    let number = descriptor.rawValue
    var buffer = [CChar](repeating: 0, count: 64)
    let count = try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
      unsafe try system_drmDriverName(number, buffer)
    }
    return String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Whether the driver makes dumb buffers: by making one of a page and closing it again.
  ///
  /// Not by asking for `DRM_CAP_DUMB_BUFFER`: a driver without mode setting, such as vgem, answers
  /// that with EOPNOTSUPP and makes them all the same (seen on Linux 7.3).
  ///
  /// - Throws: `ENOMEM`.
  package func hasDumbBuffers() throws(Errno) -> Bool {
    do {
      _ = try createDumbBuffer(byteCount: 4096)
      return true
    } catch {
      if error == .ENOSYS || error == .EOPNOTSUPP { return false }
      throw error
    }
  }

  /// A dumb buffer of at least `byteCount` bytes, shaped as lines of one page
  /// (`DRM_IOCTL_MODE_CREATE_DUMB`).
  ///
  /// - Throws: `EINVAL` (size: above 16 TiB or what the driver takes), `ENOSYS` and `EOPNOTSUPP`
  ///   (no dumb buffers), `ENOMEM`.
  package func createDumbBuffer(byteCount: Int) throws(Errno) -> DRMBuffer {
    let lineByteCount = 4096
    guard byteCount > 0, byteCount <= lineByteCount << 32 - lineByteCount else { throw .EINVAL }
    let (handle, actualByteCount) = try system_drmCreateDumb(
      descriptor.rawValue, width: UInt32(lineByteCount),
      height: UInt32((byteCount + lineByteCount - 1) / lineByteCount))
    hold(handle)
    return DRMBuffer(device: self, handle: handle, byteCount: actualByteCount)
  }

  /// Imports a dma-buf (`DRM_IOCTL_PRIME_FD_TO_HANDLE`): the driver attaches to it. The descriptor
  /// stays the caller's.
  ///
  /// - Throws: `EINVAL` (not a dma-buf, or the driver refuses it), `ENOSYS` (driver without PRIME),
  ///   `ENOMEM`.
  package func importBuffer(_ buffer: borrowing DMABufDescriptor) throws(Errno) -> DRMBuffer {
    let byteCount = try buffer.byteCount()
    let number = buffer.rawValue
    // Under the lock: between the import and the count another thread could close the handle.
    let result: Result<UInt32, Errno> = holders.withLock { holders in
      do throws(Errno) {
        let handle = try system_drmImportHandle(descriptor.rawValue, descriptor: number)
        holders[handle, default: 0] += 1
        return .success(handle)
      } catch {
        return .failure(error)
      }
    }
    return DRMBuffer(device: self, handle: try result.get(), byteCount: byteCount)
  }

  /// Number of handles that are held open.
  package var openHandleCount: Int { holders.withLock { $0.count } }

  fileprivate func export(_ handle: UInt32) throws(Errno) -> DMABufDescriptor {
    DMABufDescriptor(try system_drmExportHandle(descriptor.rawValue, handle: handle))
  }

  fileprivate func map(_ handle: UInt32, byteCount: Int) throws(Errno) -> MemoryMapping {
    let offset = try system_drmDumbMapOffset(descriptor.rawValue, handle: handle)
    return try MemoryMapping.sharedFile(descriptor, offset: offset, byteCount: byteCount)
  }

  private func hold(_ handle: UInt32) {
    holders.withLock { $0[handle, default: 0] += 1 }
  }

  fileprivate func letGo(_ handle: UInt32) {
    holders.withLock { holders in
      guard let count = holders[handle] else { fatalError("DRM handle \(handle) is not held") }
      if count > 1 {
        holders[handle] = count - 1
      } else {
        holders[handle] = nil
        // Fails only for a handle that is not open, which the table rules out.
        _ = try? system_drmCloseHandle(descriptor.rawValue, handle: handle)
      }
    }
  }
}

/// A buffer object of a DRM device: closed (`DRM_IOCTL_GEM_CLOSE`) when its last holder ends.
package struct DRMBuffer: ~Copyable, Sendable {
  /// The device it belongs to; kept alive by the buffer.
  package let device: DRMDevice
  /// The GEM handle, valid on this device's descriptor.
  package let handle: UInt32
  /// Bytes.
  package let byteCount: Int

  fileprivate init(device: DRMDevice, handle: UInt32, byteCount: Int) {
    self.device = device
    self.handle = handle
    self.byteCount = byteCount
  }

  deinit {
    device.letGo(handle)
  }

  /// A dma-buf for the buffer (`DRM_IOCTL_PRIME_HANDLE_TO_FD`). For an imported buffer this is the
  /// dma-buf that was imported.
  ///
  /// - Throws: `ENOSYS` (driver without PRIME), `EMFILE`, `ENOMEM`.
  package func export() throws(Errno) -> DMABufDescriptor {
    try device.export(handle)
  }

  /// Maps a dumb buffer through its card (`DRM_IOCTL_MODE_MAP_DUMB`).
  ///
  /// - Throws: `EINVAL` for an imported buffer, `ENOSYS`, `ENOMEM`.
  package func map() throws(Errno) -> MemoryMapping {
    try device.map(handle, byteCount: byteCount)
  }
}
