// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

/// One set of rules for every Swift target; see CONTRIBUTING.md for why each is on.
let rules: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "swift-devmem",
  products: [
    .library(name: "Devmem", targets: ["Devmem"]),
    .library(name: "DevmemNIC", targets: ["DevmemNIC"]),
    .library(name: "DevmemNet", targets: ["DevmemNet"]),
    .library(name: "DevmemPagePool", targets: ["DevmemPagePool"]),
    .library(name: "DevmemTesting", targets: ["DevmemTesting"]),
    .executable(name: "devmemctl", targets: ["devmemctl"]),
    // For the package in Benchmarks/ alone; not a promise to anybody.
    .library(name: "_DevmemBench", targets: ["DevmemBench"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // C: the system call shims, system libraries and one header-only instruction.
    .systemLibrary(name: "CLibdrm", pkgConfig: "libdrm", providers: [.apt(["libdrm-dev"])]),
    .systemLibrary(name: "CLibnuma", pkgConfig: "numa", providers: [.apt(["libnuma-dev"])]),
    .systemLibrary(name: "CLibmnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
    .systemLibrary(name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLibURing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(name: "CLibXDP", pkgConfig: "libxdp", providers: [.apt(["libxdp-dev"])]),
    .target(name: "CThreads"),
    .target(name: "CBenchSupport"),
    .target(
      name: "CSystemShims", dependencies: ["CLibdrm", "CLibmnl", "CLibnuma"], path: "CSystemShims"),

    // The library, from the bottom up.
    .target(name: "DevmemSystem", dependencies: ["CSystemShims"], swiftSettings: rules),
    .target(name: "DevmemGenpool", swiftSettings: rules),
    .target(name: "DevmemPagePool", dependencies: ["CThreads"], swiftSettings: rules),
    .target(
      name: "Devmem",
      dependencies: ["DevmemGenpool", "DevmemPagePool", "DevmemSystem"],
      swiftSettings: rules),
    // Control plane and data plane: who sets network cards up needs no sockets.
    .target(
      name: "DevmemNIC",
      dependencies: ["Devmem", "DevmemSystem"],
      swiftSettings: rules),
    .target(
      name: "DevmemNet",
      dependencies: ["Devmem", "DevmemNIC", "DevmemSystem"],
      swiftSettings: rules),
    // A wire of its own: who links Devmem or DevmemNet needs no liburing.
    .target(name: "CURingShims", dependencies: ["CLibURing"]),
    .target(
      name: "DevmemURing",
      dependencies: ["CURingShims", "Devmem", "DevmemNIC", "DevmemNet", "DevmemSystem"],
      swiftSettings: rules),
    // Another: who links Devmem or DevmemNet needs no libxdp.
    .target(
      name: "CXDPShims", dependencies: ["CLibXDP"], linkerSettings: [.linkedLibrary("bpf")]),
    .target(
      name: "DevmemXDP",
      dependencies: ["CXDPShims", "Devmem", "DevmemNet", "DevmemSystem"],
      swiftSettings: rules),
    // A device that reads the memory: who links Devmem needs no Vulkan. libvulkan is opened at run
    // time; building takes its headers alone (libvulkan-dev).
    .target(name: "CVulkanShims", exclude: ["Shaders"]),
    .target(
      name: "DevmemVulkan", dependencies: ["CVulkanShims", "Devmem", "DevmemSystem"],
      swiftSettings: rules),
    .target(name: "DevmemTesting", dependencies: ["DevmemPagePool"], swiftSettings: rules),
    .target(
      name: "DevmemBench",
      dependencies: ["CBenchSupport", "Devmem", "DevmemGenpool", "DevmemPagePool", "DevmemSystem"],
      swiftSettings: rules),
    // No product: what `make bench` and `make check` run.
    .executableTarget(
      name: "devmem-bench",
      dependencies: [
        "DevmemBench", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),
    .executableTarget(
      name: "devmemctl",
      dependencies: [
        "Devmem", "DevmemNIC", "DevmemNet", "DevmemSystem", "DevmemURing", "DevmemVulkan",
        "CLibcrypto", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: rules),

    // An example that needs what is of no product yet: decision 12.
    .executableTarget(
      name: "Weights", dependencies: ["Devmem", "DevmemNet", "DevmemVulkan"],
      path: "Examples/Weights", swiftSettings: rules),

    // Tests: one target per library, and the device tier that needs a real /dev/udmabuf.
    .target(name: "CTestSupport", path: "Tests/CTestSupport"),
    .target(
      name: "DevmemTestSupport",
      dependencies: [
        "Devmem", "DevmemPagePool", "DevmemSystem", "DevmemTesting", "CLibcrypto", "CTestSupport",
      ],
      path: "Tests/DevmemTestSupport", swiftSettings: rules),
    // Races and misuse by the thousand: run by make test, under the sanitizers, and by make soak.
    .target(name: "CStorm", path: "Tests/CStorm"),
    .executableTarget(
      name: "DevmemStorm",
      dependencies: ["CStorm", "Devmem", "DevmemPagePool", "DevmemTestSupport"],
      path: "Tests/DevmemStorm", swiftSettings: rules),
    // A user of the library's NICSetup in a process of its own, for the device tier to kill.
    .executableTarget(
      name: "DevmemCardOwner", dependencies: ["CTestSupport", "Devmem", "DevmemNIC"],
      path: "Tests/DevmemCardOwner", swiftSettings: rules),
    // The library's side of make bench-wires.
    .executableTarget(
      name: "WireBench", dependencies: ["Devmem", "DevmemNet", "DevmemSystem", "DevmemURing"],
      path: "Benchmarks/Wires/Ours", swiftSettings: rules),
    // A second process on an instance of zero-copy receive, for the device tier to kill.
    .executableTarget(
      name: "ZeroCopyPeer", dependencies: ["Devmem", "DevmemNet", "DevmemSystem", "DevmemURing"],
      path: "Tests/ZeroCopyPeer", swiftSettings: rules),
    // What else uses device memory, in a process of its own, for the device tier to kill.
    .executableTarget(
      name: "DevmemDeviceProcess",
      dependencies: [
        "CTestSupport", "Devmem", "DevmemSystem", "DevmemVulkan", "DevmemTestSupport",
      ],
      path: "Tests/DevmemDeviceProcess", swiftSettings: rules),
    .testTarget(
      name: "DevmemSystemTests",
      dependencies: ["CSystemShims", "CTestSupport", "DevmemSystem", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemGenpoolTests", dependencies: ["DevmemGenpool", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemPagePoolTests",
      dependencies: ["DevmemPagePool", "DevmemTesting", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemTests",
      dependencies: [
        "CTestSupport", "Devmem", "DevmemGenpool", "DevmemSystem", "DevmemTestSupport",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemNICTests",
      dependencies: ["DevmemNIC", "Devmem", "DevmemSystem", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemNetTests",
      dependencies: ["DevmemNet", "Devmem", "DevmemSystem", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemURingTests",
      dependencies: [
        "CTestSupport", "Devmem", "DevmemNet", "DevmemSystem", "DevmemURing", "DevmemTestSupport",
        "devmemctl",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemBenchTests", dependencies: ["DevmemBench", "DevmemTestSupport"],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemctlTests",
      dependencies: [
        "CTestSupport", "devmemctl", "Devmem", "DevmemNIC", "DevmemSystem", "DevmemTestSupport",
        "DevmemURing",
      ],
      swiftSettings: rules),
    .testTarget(
      name: "DevmemDeviceTests",
      dependencies: [
        "Devmem", "DevmemGenpool", "DevmemNIC", "DevmemNet", "DevmemSystem", "DevmemURing",
        "DevmemVulkan", "DevmemXDP", "DevmemTestSupport", "DevmemCardOwner", "ZeroCopyPeer",
        "DevmemDeviceProcess", "Weights", "devmemctl", "CTestSupport",
      ],
      swiftSettings: rules),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
