// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

/// Makes a one-page dma-buf by the way the demo takes, and lets it go: nil when that worked.
func tryExporter(_ exporter: Probe.Exporter) -> Probe.Failure? {
  let byteCount = SystemProcess.pageByteCount
  do throws(DevmemError) {
    switch exporter {
    case .udmabuf: _ = try DMABuf.udmabuf(byteCount: byteCount, name: "devmemctl-doctor")
    case .heap: _ = try DMABuf.dmaHeap(byteCount: byteCount)
    case .drm: _ = try DMABuf.drmDumb(byteCount: byteCount)
    }
    return nil
  } catch {
    var reason = "\(error.operation): \(error.code.rawValue)"
    if let underlying = error.underlying { reason += ", \(underlying)" }
    return Probe.Failure(reason: reason, remedy: command(for: exporter, error))
  }
}

/// The way out as a command; nil where only another kernel helps.
private func command(for exporter: Probe.Exporter, _ error: DevmemError) -> String? {
  switch (error.code, exporter) {
  case (.exporterMissing, .drm): "sudo modprobe vgem"
  case (.exporterMissing, _): nil
  case (.permissionDenied, .udmabuf):
    "sudo usermod -aG kvm \"$USER\"  # then log in again, or run under sudo"
  case (.permissionDenied, .heap): "sudo setfacl -m u:\"$USER\":rw /dev/dma_heap/system"
  case (.permissionDenied, .drm): "sudo usermod -aG video \"$USER\"  # then log in again"
  default: error.remedy
  }
}
