// SPDX-License-Identifier: Apache-2.0

/// The check that decides the exit status: a one-page dma-buf, really made, by the exporter that
/// the demo takes by default or else by one it can be told to take.
func checkExporter(_ probe: Probe) -> CheckResult {
  let name = "exporter"
  var refusals: [String] = []
  var remedy: String?
  for exporter in Probe.Exporter.allCases {
    guard let failure = probe.tryExporter(exporter) else {
      if refusals.isEmpty { return .ok(name, "\(exporter.rawValue) gave a one-page dma-buf") }
      return .warn(
        name, "\(exporter.rawValue) gave a one-page dma-buf; " + refusals.joined(separator: "; "),
        fix: "devmemctl demo --exporter \(exporter.rawValue)")
    }
    refusals.append("\(exporter.rawValue): \(failure.reason)")
    // The default exporter's remedy, even where another one's would be at hand.
    if exporter == .udmabuf { remedy = failure.remedy }
  }
  return .fail(
    name, "no real exporter works: " + refusals.joined(separator: "; "),
    fix: remedy ?? probe.newerKernelCommand)
}
