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
    return Probe.Failure(reason: reason, remedy: remedy(for: exporter, error))
  } catch let error as CommandError {
    return Probe.Failure(reason: error.message, remedy: error.remedy.map { .advice($0) })
  } catch {
    return Probe.Failure(reason: "\(error)", remedy: nil)
  }
}

/// The way out; nil where only another kernel helps.
private func remedy(for exporter: Probe.Exporter, _ error: DevmemError) -> Remedy? {
  let isRoot = SystemProcess.effectiveUser == 0
  return switch (error.code, exporter) {
  case (.exporterMissing, .udmabuf): DeviceNode.udmabuf.absentRemedy.map { .advice($0) }
  case (.exporterMissing, .heap): DeviceNode.heap("system").absentRemedy.map { .advice($0) }
  case (.permissionDenied, .udmabuf) where !isRoot:
    .command("sudo usermod -aG kvm \"$USER\"  # then log in again, or run under sudo")
  case (.permissionDenied, .heap) where !isRoot:
    .command("sudo setfacl -m u:\"$USER\":rw /dev/dma_heap/system")
  case (.permissionDenied, .drm) where !isRoot:
    .command("sudo usermod -aG video \"$USER\"  # then log in again")
  default: error.remedy.map { .advice($0) }
  }
}
