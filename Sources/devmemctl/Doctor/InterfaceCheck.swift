// SPDX-License-Identifier: Apache-2.0

import DevmemNIC

/// Which network interfaces could do devmem TCP, and for each one what is missing.
func checkInterfaces(_ probe: Probe) -> [CheckResult] {
  let name = "interfaces"
  let abilities: [NICCapabilities]
  switch probe.networkAbilities() {
  case .success(let found): abilities = found
  case .failure(let failure):
    return [
      .warn(
        name, "the kernel cannot be asked what they can: \(failure.reason)",
        failure.remedy ?? probe.newerKernel)
    ]
  }
  let able = abilities.filter { $0.receive == .able || $0.transmit == .able }
  let overall: CheckResult =
    able.isEmpty
    ? .warn(
      name, "none of \(abilities.count) can do devmem TCP",
      .advice(
        "A card whose driver can, or the software card of this package's checkout: make"
          + " test-device runs it in a virtual machine."))
    : .ok(name, "devmem TCP: " + able.map { "\($0.interface)" }.joined(separator: ", "))
  return [overall] + abilities.map(checkInterface)
}

/// One interface.
private func checkInterface(_ ability: NICCapabilities) -> CheckResult {
  let name = "interface \(ability.interface)"
  let driver = ability.driver.map { " (\($0))" } ?? ""
  let summary =
    "receive\(driver): \(ability.receive.summary); send: \(ability.transmit.summary)"
  if let remedy = ability.receive.remedy ?? ability.transmit.remedy {
    return .warn(name, summary, .advice(remedy))
  }
  return .ok(name, summary)
}

extension NICCapabilities.Verdict {
  /// "yes", "no: without this, without that", "unknown: why".
  var summary: String {
    switch self {
    case .able: "yes"
    case .unable(let lacks): "no, it lacks " + lacks.map(\.ability).joined(separator: ", ")
    case .unknown(let reason, _): "unknown (\(reason))"
    }
  }

  /// The way to get the first thing that is missing; nil where nothing is.
  var remedy: String? {
    switch self {
    case .able: nil
    case .unable(let lacks): lacks.first?.remedy
    case .unknown(_, let remedy): remedy
    }
  }

  /// For a table.
  var word: String {
    switch self {
    case .able: "yes"
    case .unable: "no"
    case .unknown: "?"
    }
  }

  var json: JSONValue {
    switch self {
    case .able: .object([("able", .boolean(true)), ("lacks", .array([]))])
    case .unable(let lacks):
      .object([
        ("able", .boolean(false)),
        (
          "lacks",
          .array(
            lacks.map {
              .object([("ability", .string($0.ability)), ("remedy", .string($0.remedy))])
            })
        ),
      ])
    case .unknown(let reason, let remedy):
      .object([
        ("able", .null), ("reason", .string(reason)), ("remedy", .string(remedy)),
      ])
    }
  }
}
