// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

/// Makes a one-page dma-buf and lets it go: nil when that worked.
func tryExporter(_ exporter: Probe.Exporter) -> Probe.Failure? {
  let byteCount = SystemProcess.pageByteCount
  do throws(Errno) {
    switch exporter {
    case .udmabuf:
      let file = try MemoryFile(name: "devmemctl-doctor", byteCount: byteCount)
      try file.addSeals()
      let device = try UDMABufDevice()
      _ = try device.create(
        memoryFile: file.descriptor.rawValue, offset: 0, byteCount: byteCount)
    case .heap:
      _ = try DMAHeap(named: "system").allocate(byteCount: byteCount)
    case .drm:
      return try tryDRM(byteCount: byteCount)
    }
    return nil
  } catch {
    return Probe.Failure(reason: error.description, remedy: remedy(for: exporter, error))
  }
}

/// The first card that makes dumb buffers and exports one of them.
private func tryDRM(byteCount: Int) throws(Errno) -> Probe.Failure? {
  let cards = try DRMDevice.cards()
  var last: Errno?
  for path in cards {
    do throws(Errno) {
      let card = try DRMDevice(path: path)
      guard try card.hasDumbBuffers() else { continue }
      _ = try card.createDumbBuffer(byteCount: byteCount).export()
      return nil
    } catch {
      last = error
    }
  }
  if let last { throw last }
  return Probe.Failure(
    reason: cards.isEmpty ? "no card" : "no card has dumb buffers", remedy: "sudo modprobe vgem")
}

private func remedy(for exporter: Probe.Exporter, _ error: Errno) -> String? {
  guard error == .EACCES || error == .EPERM else { return nil }
  switch exporter {
  case .udmabuf: return "sudo usermod -aG kvm \"$USER\"  # then log in again, or run under sudo"
  case .heap: return "sudo setfacl -m u:\"$USER\":rw /dev/dma_heap/system"
  case .drm: return "sudo usermod -aG video \"$USER\"  # then log in again"
  }
}
