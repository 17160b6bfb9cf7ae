// SPDX-License-Identifier: Apache-2.0

internal import CVulkanShims
internal import DevmemSystem

// One function per call that can fail, through the seam of the tests. As in DevmemSystem, EINTR is
// retried.

/// A call that makes something.
@inline(__always)
private func make(
  _ call: SystemCall, _ body: (UnsafeMutablePointer<OpaquePointer?>) -> Int32
) throws(Errno) -> OpaquePointer {
  var made: OpaquePointer?
  try SystemCallSeam.perform(call) { unsafe body(&made) }
  guard let made = unsafe made else { fatalError("\(call.rawValue) made nothing") }
  return unsafe made
}

func vulkan_open(validates: Bool) throws(Errno) -> OpaquePointer {
  try unsafe make(.vulkanOpen) { unsafe cvulkan_library_open(validates ? 1 : 0, $0) }
}

func vulkan_describe(
  _ library: OpaquePointer, _ index: UInt32
) throws(Errno) -> cvulkan_description {
  var description = cvulkan_description()
  try SystemCallSeam.perform(.vulkanDescribe) {
    unsafe cvulkan_library_describe(library, index, &description)
  }
  return description
}

func vulkan_deviceOpen(_ library: OpaquePointer, _ index: UInt32) throws(Errno) -> OpaquePointer {
  try unsafe make(.vulkanDeviceOpen) { unsafe cvulkan_device_open(library, index, $0) }
}

func vulkan_import(
  _ device: OpaquePointer, _ number: Int32, byteCount: Int
) throws(Errno) -> OpaquePointer {
  try unsafe make(.vulkanImport) {
    unsafe cvulkan_memory_import(device, number, UInt64(byteCount), $0)
  }
}

func vulkan_allocate(_ device: OpaquePointer, byteCount: Int) throws(Errno) -> OpaquePointer {
  try unsafe make(.vulkanAllocate) { unsafe cvulkan_memory_allocate(device, UInt64(byteCount), $0) }
}

func vulkan_export(_ memory: OpaquePointer) throws(Errno) -> OwnedFileDescriptor {
  OwnedFileDescriptor(
    owning: Int32(
      try SystemCallSeam.perform(.vulkanExport) { unsafe cvulkan_memory_export(memory) }))
}

func vulkan_shader(
  _ device: OpaquePointer, _ words: UnsafeBufferPointer<UInt32>
) throws(Errno) -> OpaquePointer {
  try unsafe make(.vulkanShader) {
    unsafe cvulkan_shader_make(device, words.baseAddress, words.count, $0)
  }
}

/// The descriptor is nil where the job has ended already.
func vulkan_jobBegin(
  _ shader: OpaquePointer, read: OpaquePointer, written: OpaquePointer, list: [UInt32],
  resultCount: Int, parts: [cvulkan_part], waits: [Int32]
) throws(Errno) -> (job: OpaquePointer, syncFile: Int32?) {
  var number: Int32 = -1
  let job = try unsafe make(.vulkanJobBegin) { made in
    unsafe list.withUnsafeBufferPointer { list in
      unsafe parts.withUnsafeBufferPointer { parts in
        unsafe waits.withUnsafeBufferPointer { waits in
          var work = unsafe cvulkan_work(
            read: read, written: written, list: list.baseAddress, list_word_count: list.count,
            result_word_count: resultCount, parts: parts.baseAddress, part_count: parts.count,
            waits: waits.baseAddress, wait_count: waits.count)
          return unsafe cvulkan_job_begin(shader, &work, made, &number)
        }
      }
    }
  }
  return unsafe (job, number >= 0 ? number : nil)
}

func vulkan_jobWait(_ job: OpaquePointer, nanoseconds: UInt64) throws(Errno) {
  try SystemCallSeam.perform(.vulkanJobWait) { unsafe cvulkan_job_wait(job, nanoseconds) }
}
