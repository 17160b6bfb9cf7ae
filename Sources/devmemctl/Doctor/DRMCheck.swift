// SPDX-License-Identifier: Apache-2.0

import Devmem

/// DRM cards: importers of our dma-bufs, and exporters of dumb buffers.
func checkDRM(_ probe: Probe) -> CheckResult {
  let name = "DRM cards"
  let cards = probe.files.entries("/dev/dri").filter {
    $0.hasPrefix("card") && $0.dropFirst(4).allSatisfy(\.isNumber)
  }
  guard !cards.isEmpty else {
    return .warn(
      name, "no card in /dev/dri, so nothing to import a dma-buf into",
      fix: "sudo modprobe vgem")
  }
  let described = cards.map { card in
    (card: card, driver: probe.drmDriver("/dev/dri/" + card))
  }
  let summary = described.map { "\($0.card) (\($0.driver ?? "no access"))" }
    .joined(separator: ", ")
  if described.allSatisfy({ $0.driver == nil }), probe.isRoot {
    return .warn(
      name, summary, .advice(DeviceNode.card("/dev/dri/\(cards[0])").refusedRemedy(group: nil)))
  }
  if described.allSatisfy({ $0.driver == nil }) {
    return .warn(
      name, summary, fix: "sudo usermod -aG video \"$USER\"  # then log in again")
  }
  return .ok(name, summary)
}
