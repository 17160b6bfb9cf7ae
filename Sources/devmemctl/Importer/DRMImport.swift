// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

/// Imports a dma-buf into a DRM device by PRIME, as a GPU driver would attach to it.
enum DRMImport {
  static let success = "ok"
  static let noDevice = "no device"

  /// Imports `buffer` into the first card, exports the handle again, and compares every byte seen
  /// through that descriptor's mapping with the buffer's own.
  ///
  /// Returns `ok`, `no device`, or what went wrong.
  static func attempt(_ buffer: DMABuf) -> String {
    do {
      guard let path = try DRMDevice.cards().first else { return noDevice }
      let card = try DRMDevice(path: path)
      let imported = try card.importBuffer(
        DMABufDescriptor(try buffer.duplicateDescriptor()))
      let again = try imported.export()
      guard try again.identity() == buffer.identity else {
        return "\(card.driverName) exports another buffer than the one it imported"
      }
      let mapping = try again.map(byteCount: buffer.byteCount, isWritable: false)
      try again.beginCPUAccess(.read)
      defer { try? again.endCPUAccess(.read) }
      let isEqual = try buffer.withBytes(.read) { bytes in
        unsafe memcmp(bytes.baseAddress.unsafelyUnwrapped, mapping.baseAddress, bytes.count) == 0
      }
      return isEqual ? success : "\(card.driverName) shows other bytes than were written"
    } catch {
      return "\(error)"
    }
  }
}
