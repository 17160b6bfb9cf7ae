// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// What users write, in a package of its own as theirs is: it sees the library's products alone.
// Strict memory safety is on, so that the compiler says if one of them needed `unsafe`.
let rules: [SwiftSetting] = [.strictMemorySafety(), .treatAllWarnings(as: .error)]
let devmem = Target.Dependency.product(name: "Devmem", package: "swift-devmem")
let net = Target.Dependency.product(name: "DevmemNet", package: "swift-devmem")
let pagePool = Target.Dependency.product(name: "DevmemPagePool", package: "swift-devmem")
let testing = Target.Dependency.product(name: "DevmemTesting", package: "swift-devmem")

let package = Package(
  name: "Examples",
  dependencies: [.package(name: "swift-devmem", path: "..")],
  targets: [
    .executableTarget(name: "TopLevelAwait", dependencies: [devmem], swiftSettings: rules),
    .executableTarget(name: "ReceivingActor", dependencies: [devmem], swiftSettings: rules),
    .executableTarget(name: "ThreadPerCore", dependencies: [devmem], swiftSettings: rules),
    .executableTarget(name: "EpollLoop", dependencies: [devmem, net], swiftSettings: rules),
    .executableTarget(name: "CustomNIC", dependencies: [devmem], swiftSettings: rules),
    .executableTarget(name: "AnotherProcess", dependencies: [devmem], swiftSettings: rules),
    .testTarget(
      name: "FakeProviderTests", dependencies: [pagePool, testing], swiftSettings: rules),
  ],
  swiftLanguageModes: [.v6]
)
