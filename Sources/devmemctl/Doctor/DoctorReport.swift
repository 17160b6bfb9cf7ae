// SPDX-License-Identifier: Apache-2.0

/// All checks on one machine, as a table for people or an object for programs.
struct DoctorReport: Sendable {
  let kernel: String
  let results: [CheckResult]

  /// Runs every check; the exporter last, because the ones before explain it.
  init(_ probe: Probe) {
    kernel = probe.kernelRelease
    results =
      [
        checkKernel(probe), checkUDMABuf(probe), checkUDMABufLimits(probe), checkDMAHeaps(probe),
        checkDRM(probe), checkHugePages(probe), checkNUMA(probe), checkLockedMemory(probe),
        checkOpenFiles(probe), checkNetDevmem(probe), checkXDP(probe),
      ] + checkURing(probe) + checkInterfaces(probe) + [checkExporter(probe)]
  }

  /// Whether the demo works as it is by default: the exit status, as its own would be.
  var canRunDemo: Bool { results.last { $0.name == "exporter" }?.status == .ok }

  private var verdict: String {
    switch results.last(where: { $0.name == "exporter" })?.status {
    case .ok: "The demo can run on a real exporter.\n"
    case .warn: "The demo can run on a real exporter, but only when it is told which.\n"
    default: "The demo can't run on a real exporter of this machine.\n"
    }
  }

  var json: JSONValue {
    .object([
      ("kernel", .string(kernel)), ("canRunDemo", .boolean(canRunDemo)),
      ("checks", .array(results.map(\.json))),
    ])
  }

  /// Aligned lines; below a finding stands its fix, as a command to copy, or advice.
  func table(for terminal: Terminal) -> String {
    let width = results.map(\.name.count).max() ?? 0
    var text = ""
    for result in results {
      let style: Terminal.Style =
        switch result.status {
        case .ok: .green
        case .warn: .yellow
        case .fail: .red
        }
      let status = result.status.rawValue
      let statusPadding = String(repeating: " ", count: 4 - status.count)
      let namePadding = String(repeating: " ", count: width - result.name.count)
      text += terminal.styled(status, style) + statusPadding
      text += "  " + result.name + namePadding + "  " + result.summary + "\n"
      let remedy: String? =
        switch result.remedy {
        case .command(let text): "fix: " + text
        case .advice(let text): "advice: " + text
        case nil: nil
        }
      if let remedy {
        text += String(repeating: " ", count: width + 8)
        text += terminal.styled(remedy, .dim) + "\n"
      }
    }
    return text + verdict
  }
}
