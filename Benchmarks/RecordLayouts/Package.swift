// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// The layouts experiment: docs/decisions/0010-one-handle-for-two-kinds-of-memory.md. A package of
// its own, because it needs the page pool and nothing else.
let package = Package(
  name: "record-layouts",
  dependencies: [.package(name: "swift-devmem", path: "../..")],
  targets: [
    .executableTarget(
      name: "Layouts",
      dependencies: [.product(name: "DevmemPagePool", package: "swift-devmem")],
      swiftSettings: [
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
