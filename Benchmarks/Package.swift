// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package of its own, so that users of the library never resolve what only benchmarks need.
let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(name: "swift-devmem", path: ".."),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .executableTarget(
      name: "devmem-latency",
      dependencies: [
        .product(name: "_DevmemBench", package: "swift-devmem"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: [
        .strictMemorySafety(), .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
