// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

/// Runs the demo on an exporter: as it is by default in all but the number of bytes, so that what
/// would stop it stops this. Nil when it worked.
func tryExporter(_ exporter: Probe.Exporter) -> Probe.Failure? {
  var options = DemoOptions(source: .generator(seed: 1), byteCount: 64 << 10)
  options.exporter =
    switch exporter {
    case .udmabuf: .udmabuf
    case .heap: .heap
    case .drm: .drm
    }
  options.minimumBufferByteCount = DemoSizes.bufferByteLimit
  options.showsProgress = false
  do {
    guard let problem = try DemoRun.run(options).problems.first else { return nil }
    return Probe.Failure(reason: problem, remedy: nil)
  } catch let error as DevmemError {
    var reason = "\(error.operation): \(error.code.rawValue)"
    if let underlying = error.underlying { reason += ", \(underlying)" }
    return Probe.Failure(reason: reason, remedy: command(for: exporter, error))
  } catch let error as CommandError {
    return Probe.Failure(reason: error.message, remedy: error.remedy)
  } catch {
    return Probe.Failure(reason: "\(error)", remedy: nil)
  }
}

/// The way out as a command where there is one; nil where only another kernel helps.
private func command(for exporter: Probe.Exporter, _ error: DevmemError) -> String? {
  let isRoot = SystemProcess.effectiveUser == 0
  return switch (error.code, exporter) {
  case (.exporterMissing, .drm): error.remedy
  case (.exporterMissing, .udmabuf): DeviceNode.udmabuf.absentRemedy
  case (.exporterMissing, .heap): DeviceNode.heap("system").absentRemedy
  case (.permissionDenied, .udmabuf) where !isRoot:
    "sudo usermod -aG kvm \"$USER\"  # then log in again, or run under sudo"
  case (.permissionDenied, .heap) where !isRoot:
    "sudo setfacl -m u:\"$USER\":rw /dev/dma_heap/system"
  case (.permissionDenied, .drm) where !isRoot:
    "sudo usermod -aG video \"$USER\"  # then log in again"
  default: error.remedy
  }
}
