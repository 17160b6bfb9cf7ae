// SPDX-License-Identifier: Apache-2.0

/// The check that decides the exit status: the demo itself, small, on the exporter that it takes by
/// default; where that does not work, on one that it can be told to take.
func checkExporter(_ probe: Probe) -> CheckResult {
  let name = "exporter"
  var refusals: [String] = []
  var remedy: Remedy?
  for exporter in Probe.Exporter.allCases {
    guard let failure = probe.tryExporter(exporter) else {
      if refusals.isEmpty { return .ok(name, "\(exporter.rawValue) carries the demo") }
      return .warn(
        name, "\(exporter.rawValue) carries the demo; " + refusals.joined(separator: "; "),
        fix: "\(probe.program) demo --exporter \(exporter.rawValue)")
    }
    refusals.append("\(exporter.rawValue): \(failure.reason)")
    // The default exporter's remedy, even where another one's would be at hand.
    if exporter == .udmabuf { remedy = failure.remedy }
  }
  return .fail(
    name, "no real exporter works: " + refusals.joined(separator: "; "),
    remedy ?? probe.newerKernel)
}
