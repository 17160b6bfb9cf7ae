// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
internal import DevmemSystem

/// A compute shader over fragments, ready to run on a device. Any thread.
@safe package final class VulkanShader: Sendable {
  /// The shaders that there are (`Sources/CVulkanShims/Shaders`).
  package enum Kind: String, CaseIterable, Hashable, Sendable {
    /// The sum of each fragment's bytes, modulo 2^32.
    case sum
    /// The CRC-32 of each fragment, as zlib's.
    case crc32
    /// Reverses the bytes of each 32-bit word that is wholly in a fragment, in place; the result is
    /// the number of words.
    case swap
    /// bf16 to f32, to the fragments' destinations; the result is the number of numbers.
    case widen
    /// Copies fragments to their destinations, at any byte; the result is the number of bytes.
    case gather

    var writesMemory: Bool { self == .swap }
    var needsDestination: Bool { self == .widen || self == .gather }
    /// What an offset has to be a multiple of, in bytes.
    var alignment: Int { self == .widen ? 2 : 1 }
    /// What a destination has to be a multiple of, in bytes.
    var destinationAlignment: Int { self == .widen ? 4 : 1 }
    /// Bytes at the destination for so many of a fragment.
    func writtenByteCount(_ byteCount: Int) -> Int {
      switch self {
      case .widen: 2 * (byteCount & ~1)
      case .gather: byteCount
      case .sum, .crc32, .swap: 0
      }
    }
  }

  /// What it does.
  package let kind: Kind
  let device: VulkanDevice
  // SAFETY: made in init, closed in deinit; jobs keep this object.
  nonisolated(unsafe) let shader: OpaquePointer

  /// Has the device's driver compile a shader.
  ///
  /// - Throws: ``VulkanError/Code/outOfMemory``, ``VulkanError/Code/shaderRefused``.
  package init(_ kind: Kind, on device: VulkanDevice) throws(VulkanError) {
    self.kind = kind
    self.device = device
    let operation = "compiling the shader \(kind.rawValue) for \(device.description.name)"
    unsafe shader = try VulkanError.wrapping({ errno in
      errno == .driver
        ? VulkanError(.shaderRefused, operation, underlying: errno) : .step(operation, errno)
    }) { () throws(Errno) in
      unsafe try vulkan_shader(device.device, Self.code(kind))
    }
  }

  deinit { unsafe cvulkan_shader_close(shader) }

  private static func code(_ kind: Kind) -> UnsafeBufferPointer<UInt32> {
    let codes = unsafe UnsafeBufferPointer(
      start: cvulkan_code_list(), count: Int(cvulkan_code_count))
    guard
      let position = unsafe codes.firstIndex(where: {
        unsafe String(cString: $0.name) == kind.rawValue
      })
    else { fatalError("no code for the shader \(kind.rawValue)") }
    let code = unsafe codes[position]
    return unsafe UnsafeBufferPointer(start: code.words, count: code.word_count)
  }
}
