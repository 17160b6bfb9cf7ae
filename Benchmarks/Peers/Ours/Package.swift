// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// This library's side of `make bench-peers`; the peers' side is in ../Harness. Both use CPeerBench
// for the clock, the threads and the ring that objects change threads through.
let package = Package(
  name: "ours",
  dependencies: [.package(name: "swift-devmem", path: "../../..")],
  targets: [
    .target(name: "CPeerBench"),
    .executableTarget(
      name: "ours",
      dependencies: ["CPeerBench", .product(name: "Devmem", package: "swift-devmem")],
      swiftSettings: [.strictMemorySafety(), .treatAllWarnings(as: .error)]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
