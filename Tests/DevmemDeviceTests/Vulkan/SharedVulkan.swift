// SPDX-License-Identifier: Apache-2.0

import DevmemVulkan
import Synchronization
import Testing

/// One device for all tests of a process, with the validation layer, and its shaders: drivers take
/// their time to start, and under emulation more of it.
final class SharedVulkan: Sendable {
  private static let made = Result { try SharedVulkan() }

  let vulkan: Vulkan
  let device: VulkanDevice
  private let shaders = Mutex<[VulkanShader.Kind: VulkanShader]>([:])

  private init() throws {
    vulkan = try Vulkan(validates: true)
    device = try vulkan.device()
  }

  static func one() throws -> SharedVulkan { try made.get() }

  func shader(_ kind: VulkanShader.Kind) throws -> VulkanShader {
    try shaders.withLock { shaders in
      if let shader = shaders[kind] { return shader }
      let shader = try VulkanShader(kind, on: device)
      shaders[kind] = shader
      return shader
    }
  }

  /// What the validation layer has to complain of meanwhile fails the test.
  func expectingNoComplaint(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) throws {
    let before = vulkan.complaints.count
    try body()
    let after = vulkan.complaints
    #expect(after.count == before, "\(after.last)", sourceLocation: sourceLocation)
  }
}
