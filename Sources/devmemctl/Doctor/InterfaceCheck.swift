// SPDX-License-Identifier: Apache-2.0

import DevmemNIC

/// Which network interfaces could do devmem TCP, and for each one what is missing.
func checkInterfaces(_ probe: Probe) -> [CheckResult] {
  let name = "interfaces"
  let interfaces: [NICCapabilities]
  switch probe.networkCapabilities() {
  case .success(let found): interfaces = found
  case .failure(let failure):
    return [
      .warn(
        name, "the kernel cannot be asked what they can: \(failure.reason)",
        failure.remedy ?? probe.newerKernel)
    ]
  }
  let capable = interfaces.filter { $0.receive == .supported || $0.transmit == .supported }
  let overall: CheckResult =
    capable.isEmpty
    ? .warn(
      name, "none of \(interfaces.count) can do devmem TCP",
      .command("devmemctl netdev list  # what each one lacks, and what would provide it"))
    : .ok(name, "devmem TCP: " + capable.map { "\($0.interface)" }.joined(separator: ", "))
  return [overall] + interfaces.map(checkInterface)
}

/// One interface.
private func checkInterface(_ capabilities: NICCapabilities) -> CheckResult {
  let name = "interface \(capabilities.interface)"
  let driver = capabilities.driver.map { " (\($0))" } ?? ""
  let summary =
    "receive\(driver): \(capabilities.receive.summary); send: \(capabilities.transmit.summary)"
  if let remedy = capabilities.receive.remedy ?? capabilities.transmit.remedy {
    return .warn(name, summary, .advice(remedy))
  }
  return .ok(name, summary)
}

extension NICCapabilities.Support {
  /// "yes", "no: without this, without that", "unknown: why".
  var summary: String {
    switch self {
    case .supported: "yes"
    case .unsupported(let missing):
      "no, it lacks " + missing.map(\.capability).joined(separator: ", ")
    case .unknown(let reason, _): "unknown (\(reason))"
    }
  }

  /// The way to get the first thing that is missing; nil where nothing is.
  var remedy: String? {
    switch self {
    case .supported: nil
    case .unsupported(let missing): missing.first?.remedy
    case .unknown(_, let remedy): remedy
    }
  }

  /// For a table.
  var word: String {
    switch self {
    case .supported: "yes"
    case .unsupported: "no"
    case .unknown: "?"
    }
  }

  var json: JSONValue {
    switch self {
    case .supported: .object([("supported", .boolean(true)), ("missing", .array([]))])
    case .unsupported(let missing):
      .object([
        ("supported", .boolean(false)),
        (
          "missing",
          .array(
            missing.map {
              .object([("capability", .string($0.capability)), ("remedy", .string($0.remedy))])
            })
        ),
      ])
    case .unknown(let reason, let remedy):
      .object([
        ("supported", .null), ("reason", .string(reason)), ("remedy", .string(remedy)),
      ])
    }
  }
}
