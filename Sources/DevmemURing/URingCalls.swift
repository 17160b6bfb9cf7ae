// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import DevmemSystem

// One function per call into the kernel, through the seam of the tests. As in DevmemSystem, EINTR
// is retried.

@inline(__always)
@discardableResult
private func perform(_ call: SystemCall, _ body: () -> Int32) throws(Errno) -> Int {
  while true {
    let error: Errno
    if let forced = SystemCallSeam.forced(call) {
      error = forced
    } else {
      let result = body()
      if result >= 0 { return Int(result) }
      error = Errno(rawValue: 0 - result)
    }
    if error != .EINTR { throw error }
  }
}

/// For what the kernel lets go whatever it answers: made even when the seam forces an errno, never
/// retried, and nobody is told.
@inline(__always)
private func performReleasing(_ call: SystemCall, _ body: () -> Int32) {
  _ = SystemCallSeam.forced(call)
  _ = body()
}

func uring_open(
  submissionCount: Int, completionCount: Int, isZeroCopy: Bool
) throws(Errno) -> OpaquePointer {
  var ring: OpaquePointer?
  try perform(.uringOpen) {
    unsafe curing_ring_open(
      UInt32(submissionCount), UInt32(completionCount), isZeroCopy ? 1 : 0, &ring)
  }
  guard let ring = unsafe ring else { fatalError("curing_ring_open made no ring") }
  return unsafe ring
}

func uring_enter(_ ring: OpaquePointer, waits: Bool) throws(Errno) {
  try perform(.uringEnter) { unsafe curing_ring_enter(ring, waits ? 1 : 0) }
}

func uring_cancel(_ ring: OpaquePointer, userData: UInt64) {
  performReleasing(.uringCancel) { unsafe curing_ring_cancel(ring, userData) }
}

func uring_registerMemory(
  _ ring: OpaquePointer, _ memory: UnsafeMutableRawBufferPointer
) throws(Errno) {
  try perform(.uringRegisterMemory) {
    unsafe curing_memory_register(ring, memory.baseAddress, memory.count)
  }
}

func uring_sendsMessages(
  _ ring: OpaquePointer, _ registered: UnsafeRawPointer
) throws(Errno) -> Bool {
  try perform(.uringEnter) { unsafe curing_ring_sends_messages(ring, registered) } != 0
}

func uring_registerBuffers(
  _ ring: OpaquePointer, _ memory: UnsafeMutableRawPointer, entryCount: Int, group: UInt16
) throws(Errno) {
  try perform(.uringRegisterBuffers) {
    unsafe curing_buffers_register(ring, memory, UInt32(entryCount), group)
  }
}

func uring_unregisterBuffers(_ ring: OpaquePointer, group: UInt16) {
  performReleasing(.uringUnregisterBuffers) { unsafe curing_buffers_unregister(ring, group) }
}

func uring_query() throws(Errno) -> curing_zerocopy_capabilities {
  var capabilities = curing_zerocopy_capabilities()
  try perform(.uringQuery) { unsafe curing_zerocopy_query(&capabilities) }
  return capabilities
}

func uring_registerArea(
  _ ring: OpaquePointer, _ request: curing_zerocopy_request
) throws(Errno) -> curing_zerocopy {
  var instance = unsafe curing_zerocopy()
  try perform(.uringRegisterArea) {
    unsafe withUnsafePointer(to: request) {
      unsafe curing_zerocopy_register(ring, $0, &instance)
    }
  }
  return unsafe instance
}

/// Returns a descriptor that the caller owns.
func uring_export(_ ring: OpaquePointer, _ instance: curing_zerocopy) throws(Errno) -> Int32 {
  Int32(
    try perform(.uringExport) {
      unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_export(ring, $0) }
    })
}

/// Fills in where the refill ring is.
func uring_import(
  _ ring: OpaquePointer, _ exported: Int32, refill: UnsafeMutableRawBufferPointer, counts: Bool,
  _ instance: inout curing_zerocopy
) throws(Errno) {
  try perform(.uringImport) {
    unsafe curing_zerocopy_import(
      ring, exported, refill.baseAddress, refill.count, counts ? 1 : 0, &instance)
  }
}

func uring_addArea(
  _ ring: OpaquePointer, _ instance: curing_zerocopy, _ memory: curing_zerocopy_memory
) throws(Errno) -> UInt64 {
  var token: UInt64 = 0
  try perform(.uringAddArea) {
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
  try perform(.uringArmEvent) {
    unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_arm_event(ring, $0, event) }
  }
}

func uring_flushRefill(
  _ ring: OpaquePointer, _ instance: curing_zerocopy
) throws(Errno) {
  try perform(.uringFlushRefill) {
    unsafe withUnsafePointer(to: instance) { unsafe curing_zerocopy_flush(ring, $0) }
  }
}
