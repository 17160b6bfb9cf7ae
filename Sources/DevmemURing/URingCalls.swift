// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import DevmemSystem

// One function per call into the kernel, through the seam of the tests. As in DevmemSystem, EINTR
// is retried.

func uring_open(
  submissionCount: Int, completionCount: Int, isZeroCopy: Bool
) throws(Errno) -> OpaquePointer {
  var ring: OpaquePointer?
  try SystemCallSeam.perform(.uringOpen) {
    unsafe curing_ring_open(
      UInt32(submissionCount), UInt32(completionCount), isZeroCopy ? 1 : 0, &ring)
  }
  guard let ring = unsafe ring else { fatalError("curing_ring_open made no ring") }
  return unsafe ring
}

func uring_enter(_ ring: OpaquePointer, waits: Bool) throws(Errno) {
  try SystemCallSeam.perform(.uringEnter) { unsafe curing_ring_enter(ring, waits ? 1 : 0) }
}

func uring_cancel(_ ring: OpaquePointer, userData: UInt64) {
  SystemCallSeam.performReleasing(.uringCancel) { unsafe curing_ring_cancel(ring, userData) }
}

func uring_registerMemory(
  _ ring: OpaquePointer, _ memory: UnsafeMutableRawBufferPointer
) throws(Errno) {
  try SystemCallSeam.perform(.uringRegisterMemory) {
    unsafe curing_memory_register(ring, memory.baseAddress, memory.count)
  }
}

func uring_sendsMessages(
  _ ring: OpaquePointer, _ registered: UnsafeRawPointer
) throws(Errno) -> Bool {
  try SystemCallSeam.perform(.uringEnter) { unsafe curing_ring_sends_messages(ring, registered) }
    != 0
}

func uring_registerBuffers(
  _ ring: OpaquePointer, _ memory: UnsafeMutableRawPointer, entryCount: Int, group: UInt16
) throws(Errno) {
  try SystemCallSeam.perform(.uringRegisterBuffers) {
    unsafe curing_buffers_register(ring, memory, UInt32(entryCount), group)
  }
}

func uring_unregisterBuffers(_ ring: OpaquePointer, group: UInt16) {
  SystemCallSeam.performReleasing(.uringUnregisterBuffers) {
    unsafe curing_buffers_unregister(ring, group)
  }
}

func uring_query() throws(Errno) -> curing_zerocopy_capabilities {
  var capabilities = curing_zerocopy_capabilities()
  try SystemCallSeam.perform(.uringQuery) { unsafe curing_zerocopy_query(&capabilities) }
  return capabilities
}

func uring_registerArea(
  _ ring: OpaquePointer, _ request: curing_zerocopy_request
) throws(Errno) -> curing_zerocopy {
  var instance = unsafe curing_zerocopy()
  try SystemCallSeam.perform(.uringRegisterArea) {
    unsafe withUnsafePointer(to: request) {
      unsafe curing_zerocopy_register(ring, $0, &instance)
    }
  }
  return unsafe instance
}

/// Returns a descriptor that the caller owns.
func uring_export(_ ring: OpaquePointer, _ instance: curing_zerocopy) throws(Errno) -> Int32 {
  Int32(
    try SystemCallSeam.perform(.uringExport) {
      unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_export(ring, $0) }
    })
}

/// Fills in where the refill ring is.
func uring_import(
  _ ring: OpaquePointer, _ exported: Int32, refill: UnsafeMutableRawBufferPointer, counts: Bool,
  _ instance: inout curing_zerocopy
) throws(Errno) {
  try SystemCallSeam.perform(.uringImport) {
    unsafe curing_zerocopy_import(
      ring, exported, refill.baseAddress, refill.count, counts ? 1 : 0, &instance)
  }
}

func uring_addArea(
  _ ring: OpaquePointer, _ instance: curing_zerocopy, _ memory: curing_zerocopy_memory
) throws(Errno) -> UInt64 {
  var token: UInt64 = 0
  try SystemCallSeam.perform(.uringAddArea) {
    unsafe withUnsafePointer(to: instance) { instance in
      unsafe withUnsafePointer(to: memory) { memory in
        unsafe curing_zerocopy_add_area(ring, instance, memory, &token)
      }
    }
  }
  return token
}

func uring_armEvent(
  _ ring: OpaquePointer, _ instance: curing_zerocopy, _ event: UInt32
) throws(Errno) {
  try SystemCallSeam.perform(.uringArmEvent) {
    unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_arm_event(ring, $0, event) }
  }
}

func uring_flushRefill(
  _ ring: OpaquePointer, _ instance: curing_zerocopy
) throws(Errno) {
  try SystemCallSeam.perform(.uringFlushRefill) {
    unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_flush(ring, $0) }
  }
}
