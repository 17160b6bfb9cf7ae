// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
internal import Devmem

/// How a job is cut into parts, because a shader reaches only so many bytes of a buffer at a time
/// (`maxStorageBufferRange`): windows that overlap by half, so that a fragment of up to half of one
/// is wholly in the window that its first byte is in the first half of.
struct JobPlan {
  /// Four words for each fragment, those of a part behind each other (Shaders/fragments.glsl).
  let list: [UInt32]
  let parts: [cvulkan_part]

  /// A part's windows, by number.
  private struct Windows: Hashable {
    let read: Int
    let written: Int
  }

  /// - Parameter fragments: wholly in the memory, and what they write in `written`.
  init(
    _ fragments: [VulkanFragment], _ kind: VulkanShader.Kind, _ memory: VulkanMemory,
    _ written: VulkanMemory
  ) throws(VulkanError) {
    let limit = memory.device.description.rangeLimit
    // cvulkan_part: multiples of 4096.
    let step = limit / 2 & ~4095
    func window(_ offset: Int, _ byteCount: Int, of memory: VulkanMemory) throws(VulkanError) -> Int
    {
      // Most memory is seen as a whole. What is empty at its end is in the last window.
      guard memory.buffer.byteCount > limit else { return 0 }
      let number = min(offset, memory.buffer.byteCount - 1) / step
      guard offset + byteCount <= number * step + limit else {
        throw VulkanError(
          .sizeLimit, "running the shader \(kind.rawValue) over \(byteCount) bytes",
          remedy: "A shader on \(memory.device.description.name) reaches \(limit) bytes at a time:"
            + " use fragments of \(step) at most.")
      }
      return number
    }
    var members: [Windows: [Int]] = [:]
    for (index, fragment) in fragments.enumerated() {
      let windows = Windows(
        read: try window(fragment.offset, fragment.byteCount, of: memory),
        written: kind.needsDestination
          ? try window(
            fragment.destination, kind.writtenByteCount(fragment.byteCount), of: written) : 0)
      members[windows, default: []].append(index)
    }
    var list: [UInt32] = []
    list.reserveCapacity(4 * fragments.count)
    var parts: [cvulkan_part] = []
    for (windows, indices) in members {
      let (from, to) = (windows.read * step, windows.written * step)
      let first = UInt32(list.count / 4)
      for index in indices {
        let fragment = fragments[index]
        list += [
          UInt32(fragment.offset - from), UInt32(fragment.byteCount),
          kind.needsDestination ? UInt32(fragment.destination - to) : 0, UInt32(index),
        ]
      }
      parts.append(
        cvulkan_part(
          read_offset: UInt64(from), written_offset: UInt64(to), first: first,
          end: UInt32(list.count / 4)))
    }
    self.list = list
    self.parts = parts
  }
}
