// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
internal import DevmemSystem

/// Vulkan on this machine: which devices there are. `libvulkan.so.1` is opened by this, and by
/// nothing before. All members may be called from any thread.
@safe package final class Vulkan: Sendable {
  // SAFETY: made in init, closed in deinit; every device keeps this object.
  nonisolated(unsafe) let library: OpaquePointer

  /// Opens the library.
  ///
  /// - Parameter validates: has the validation layer look at every call; see ``complaints``.
  /// - Throws: ``VulkanError/Code/libraryMissing``, ``VulkanError/Code/layerMissing``,
  ///   ``VulkanError/Code/noDevice`` without any driver.
  package init(validates: Bool = false) throws(VulkanError) {
    unsafe library = try VulkanError.wrapping(VulkanError.opening) { () throws(Errno) in
      unsafe try vulkan_open(validates: validates)
    }
  }

  deinit { unsafe cvulkan_library_close(library) }

  /// How many errors and warnings the validation layer had, and the last one's words.
  package var complaints: (count: Int, last: String) {
    var text = [CChar](repeating: 0, count: 1024)
    let count = unsafe cvulkan_library_complaints(library, &text, text.count)
    return (Int(count), String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self))
  }

  /// Which device.
  package enum Choice: Hashable, Sendable, CustomStringConvertible {
    /// The first that can do all; a real one before one in software.
    case any
    /// One whose name has this in it, in whatever case.
    case named(String)
    /// The one of these 16 bytes.
    case uuid([UInt8])

    /// "any", 32 hexadecimal digits with or without dashes, or a part of a name.
    package init(_ text: String) {
      let digits = text.filter { $0 != "-" }
      if text.isEmpty || text == "any" {
        self = .any
      } else if digits.utf8.count == 32, digits.allSatisfy(\.isHexDigit) {
        let nibbles = digits.map { UInt8($0.hexDigitValue!) }
        self = .uuid(stride(from: 0, to: 32, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] })
      } else {
        self = .named(text)
      }
    }

    package var description: String {
      switch self {
      case .any: "any"
      case .named(let name): name
      case .uuid(let bytes): Vulkan.hexadecimal(bytes)
      }
    }
  }

  /// What a device is and can.
  package struct Description: Hashable, Sendable {
    let index: UInt32
    /// The driver's name for it.
    package let name: String
    /// 16 bytes; the same in every process, and for every interface of the device.
    package let uuid: [UInt8]
    /// Whether it is the processor that acts as a device.
    package let isSoftware: Bool
    /// What it lacks to import dma-bufs and compute over them, in words; empty if nothing.
    package let lacking: [String]
    /// Whether memory that it allocates can be exported as a dma-buf.
    package let canExport: Bool
    /// Whether its queue can wait for sync files.
    package let canWait: Bool
    /// Bytes of one buffer at most.
    package let byteLimit: Int
    /// Bytes of one buffer that a shader reaches at a time. Of a larger one it works on parts.
    package let rangeLimit: Int
    /// Fragments of one job at most.
    package let fragmentLimit: Int
  }

  /// All devices, in the loader's order.
  ///
  /// - Throws: ``VulkanError``.
  package func devices() throws(VulkanError) -> [Description] {
    var all: [Description] = []
    while true {
      do throws(Errno) {
        all.append(
          Description(try unsafe vulkan_describe(library, UInt32(all.count)), UInt32(all.count)))
      } catch .ENODEV {
        return all
      } catch {
        throw .step("asking a Vulkan device what it can", error)
      }
    }
  }

  /// Opens a device.
  ///
  /// - Throws: ``VulkanError/Code/noDevice``; ``VulkanError/Code/noSuchDevice``, with the names of
  ///   those that there are; ``VulkanError/Code/deviceUnsupported``, with what it lacks.
  package func device(_ choice: Choice = .any) throws(VulkanError) -> VulkanDevice {
    try VulkanDevice(self, Self.choose(choice, among: devices()))
  }

  /// What ``device(_:)`` opens.
  static func choose(
    _ choice: Choice, among all: [Description]
  ) throws(VulkanError) -> Description {
    guard !all.isEmpty else { throw .noDevice() }
    let meant = all.filter { $0.is(choice) }
    guard !meant.isEmpty else {
      throw VulkanError(
        .noSuchDevice, "looking for a Vulkan device \(choice)",
        remedy: "There are: "
          + all.map { "\($0.name) (\(hexadecimal($0.uuid)))" }.joined(separator: ", "))
    }
    let able = meant.filter(\.lacking.isEmpty)
    guard let best = able.first(where: { !$0.isSoftware }) ?? able.first else {
      throw VulkanError(
        .deviceUnsupported, "using the Vulkan device \(meant[0].name)",
        remedy: "It lacks \(meant[0].lacking.joined(separator: ", ")): use a newer driver, or"
          + " another device.")
    }
    return best
  }

  static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

extension Vulkan.Description {
  fileprivate init(_ description: cvulkan_description, _ index: UInt32) {
    self.index = index
    name = unsafe withUnsafeBytes(of: description.name) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    uuid = unsafe withUnsafeBytes(of: description.uuid) { unsafe Array($0) }
    isSoftware = description.is_software != 0
    byteLimit = Int(clamping: description.byte_limit)
    rangeLimit = Int(clamping: description.range_limit)
    fragmentLimit = Int(clamping: description.fragment_limit)
    func isMissing(_ bit: Int) -> Bool { Int(description.lacks) & bit != 0 }
    canExport = !isMissing(cvulkan_lacks_export)
    canWait = !isMissing(cvulkan_lacks_wait)
    lacking = [
      (cvulkan_lacks_dmabuf, "VK_EXT_external_memory_dma_buf"),
      (cvulkan_lacks_semaphore, "VK_KHR_external_semaphore_fd"),
      (cvulkan_lacks_import, "storage buffers of dma-bufs"),
      (cvulkan_lacks_compute, "a queue for compute shaders"),
    ].filter { isMissing($0.0) }.map(\.1)
  }

  fileprivate func `is`(_ choice: Vulkan.Choice) -> Bool {
    switch choice {
    case .any: true
    case .named(let part): name.lowercased().contains(part.lowercased())
    case .uuid(let bytes): uuid == bytes
    }
  }
}
