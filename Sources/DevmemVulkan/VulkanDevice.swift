// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
package import Devmem
internal import DevmemSystem

/// A device that computes over dma-bufs (`VkDevice`, with one queue). All members may be called
/// from any thread.
@safe package final class VulkanDevice: Sendable {
  /// What it is and can.
  package let description: Vulkan.Description
  let vulkan: Vulkan
  // SAFETY: made in init, closed in deinit; memory, shaders and jobs keep this object.
  nonisolated(unsafe) let device: OpaquePointer

  init(_ vulkan: Vulkan, _ description: Vulkan.Description) throws(VulkanError) {
    self.vulkan = vulkan
    self.description = description
    let name = description.name
    unsafe device = try VulkanError.wrapping({ .step("opening \(name)", $0) }) {
      () throws(Errno) in unsafe try vulkan_deviceOpen(vulkan.library, description.index)
    }
  }

  deinit { unsafe cvulkan_device_close(device) }

  func checkSize(_ byteCount: Int, _ operation: String) throws(VulkanError) {
    let limit = description.byteLimit
    guard byteCount > limit else { return }
    throw VulkanError(
      .sizeLimit, operation,
      remedy: "\(description.name) takes \(limit) bytes at most: use several buffers.")
  }
}

/// Memory of a dma-buf as a device's storage buffer: of one that was imported, or of one that the
/// device allocated. All members may be called from any thread.
@safe package final class VulkanMemory: Sendable {
  /// The dma-buf. That of the device's own memory can be carved, bound to a network card and
  /// received into like any other.
  package let buffer: DMABuf
  /// The device.
  package let device: VulkanDevice
  // SAFETY: made in init, closed in deinit; jobs keep this object until they have ended.
  nonisolated(unsafe) let memory: OpaquePointer

  deinit { unsafe cvulkan_memory_close(memory) }

  /// Imports a dma-buf, which stays in use elsewhere (`VK_EXT_external_memory_dma_buf`).
  ///
  /// - Throws: ``VulkanError/Code/notADMABuf``, ``VulkanError/Code/sizeLimit``,
  ///   ``VulkanError/Code/bufferRefused``, ``VulkanError/Code/outOfMemory``.
  package init(importing buffer: DMABuf, into device: VulkanDevice) throws(VulkanError) {
    let operation = "importing a dma-buf of \(buffer.byteCount) bytes"
    guard buffer.isExported else {
      throw VulkanError(
        .notADMABuf, operation,
        remedy: "Use a dma-buf (DMABuf.udmabuf): a memory file cannot be imported.")
    }
    try device.checkSize(buffer.byteCount, operation)
    unsafe memory = try VulkanError.wrapping({
      .importing(buffer.byteCount, into: device.description.name, $0)
    }) { () throws(Errno) in
      unsafe try buffer.withDescriptor { number throws(Errno) in
        unsafe try vulkan_import(device.device, number, byteCount: buffer.byteCount)
      }
    }
    self.buffer = buffer
    self.device = device
  }

  /// Has the device allocate memory, and exports it as a dma-buf.
  ///
  /// - Parameter byteCount: a multiple of the page size; the driver may round up.
  /// - Throws: ``VulkanError/Code/deviceUnsupported`` for a device that cannot export,
  ///   ``VulkanError/Code/sizeLimit``, ``VulkanError/Code/outOfMemory``.
  package init(allocating byteCount: Int, on device: VulkanDevice) throws(VulkanError) {
    let name = device.description.name
    let operation = "allocating \(byteCount) bytes of \(name) as a dma-buf"
    guard byteCount > 0, byteCount % SystemProcess.pageByteCount == 0 else {
      throw VulkanError(
        .sizeLimit, operation, remedy: "Ask for a multiple of \(SystemProcess.pageByteCount).")
    }
    guard device.description.canExport else {
      throw VulkanError(
        .deviceUnsupported, operation,
        remedy: "It cannot export memory: import a dma-buf of another exporter.")
    }
    try device.checkSize(byteCount, operation)
    let memory = unsafe try VulkanError.wrapping({ .step(operation, $0) }) { () throws(Errno) in
      unsafe try vulkan_allocate(device.device, byteCount: byteCount)
    }
    do {
      let descriptor = try VulkanError.wrapping({ .step(operation, $0) }) { () throws(Errno) in
        try unsafe vulkan_export(memory)
      }
      buffer = try DMABuf.imported(descriptor)
    } catch let error as VulkanError {
      unsafe cvulkan_memory_close(memory)
      throw error
    } catch let error as DevmemError {
      unsafe cvulkan_memory_close(memory)
      throw VulkanError(.driver, operation, underlying: error.underlying, remedy: error.remedy)
    } catch {
      fatalError("\(error)")
    }
    unsafe self.memory = unsafe memory
    self.device = device
  }
}
