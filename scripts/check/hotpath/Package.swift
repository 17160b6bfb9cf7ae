// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A user of the library, as seen from another package: what `make check` counts instructions in.
let package = Package(
  name: "hotpath",
  dependencies: [.package(name: "swift-devmem", path: "../../..")],
  targets: [
    .executableTarget(
      name: "hotpath",
      dependencies: [
        .product(name: "DevmemGenpool", package: "swift-devmem"),
        .product(name: "DevmemPagePool", package: "swift-devmem"),
      ],
      swiftSettings: [.strictMemorySafety(), .treatAllWarnings(as: .error)])
  ],
  swiftLanguageModes: [.v6]
)
