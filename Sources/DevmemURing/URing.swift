// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
internal import DevmemSystem

/// An io_uring with exactly one owner (`io_uring_setup(2)`, over liburing): requests go in, and
/// completions come out. Closed when it ends.
///
/// It may move between threads, and what the kernel does for its requests it does on the thread
/// that submitted them, whenever that returns from the kernel. When that thread ends the kernel
/// cancels them (`ECANCELED`): submit them anew.
///
/// What is lent to the kernel for a request has to be got back before the ring ends: the kernel
/// cancels what is under way some time after the ring was closed.
///
/// A ring for zero-copy receive is its maker's alone instead (`IORING_SETUP_SINGLE_ISSUER`), and
/// the kernel does nothing for its requests but in ``submit()`` and ``waitForCompletion()``
/// (`IORING_SETUP_DEFER_TASKRUN`), on whatever thread it ends.
///
/// Thread rules: one at a time, any thread; for zero-copy receive, the thread that made it, but it
/// may end on any. Not for a forked child.
@safe
package struct URing: ~Copyable, @unchecked Sendable {
  // SAFETY: made by init, used by this value alone, and closed in deinit.
  let ring: OpaquePointer

  deinit { unsafe curing_ring_close(ring) }

  /// A completion (`struct io_uring_cqe`).
  struct Completion {
    /// What the request was submitted with.
    let userData: UInt64
    /// Bytes, or `-errno`.
    let result: Int32
    let flags: UInt32
    /// Of a zero-copy receive: where the bytes are, with the area's number in the upper 16 bits.
    let offset: UInt64

    /// The number of the buffer that the kernel picked, nil where it picked none.
    var bufferNumber: UInt16? {
      flags & CURING_COMPLETION_BUFFER == 0 ? nil : UInt16(truncatingIfNeeded: flags >> 16)
    }

    /// Whether nothing reads the memory of a zero-copy send any more.
    var isNotification: Bool { flags & CURING_COMPLETION_NOTIFICATION != 0 }

    /// Of a notification: whether the kernel copied after all.
    var wasCopied: Bool {
      UInt32(bitPattern: result) & CURING_NOTIFICATION_COPIED != 0
    }

    /// Whether the request goes on: false in its last completion.
    var isFollowed: Bool { flags & CURING_COMPLETION_MORE != 0 }
  }

  /// Makes a ring.
  /// - Parameters:
  ///   - submissionCount: requests that may be submitted at once, 1 to 32768.
  ///   - completionCount: completions that may wait, at least as many. More are kept by the kernel,
  ///     but end what goes on by itself.
  ///   - isZeroCopy: whether it is for zero-copy receive.
  /// - Throws: ``URingError``: `.disabled`, `.filtered`, `.kernelUnsupported`, `.descriptorLimit`,
  ///   `.memoryLimit`.
  package init(
    submissionCount: Int, completionCount: Int, isZeroCopy: Bool = false
  ) throws(URingError) {
    do throws(Errno) {
      unsafe ring = try uring_open(
        submissionCount: submissionCount, completionCount: completionCount, isZeroCopy: isZeroCopy)
    } catch {
      throw .opening(error, disabled: URingError.disabledSetting())
    }
  }

  /// The descriptor to poll: readable when there are completions. Borrowed.
  package var descriptorNumber: Int32 { unsafe curing_ring_descriptor(ring) }

  /// Waits until there is a completion (`poll(2)`).
  /// - Parameter milliseconds: -1 waits for ever.
  /// - Returns: false after the time.
  func wait(milliseconds: Int32) throws(URingError) -> Bool {
    do throws(Errno) {
      return try SystemProcess.waitUntilReadable(descriptorNumber, milliseconds: milliseconds)
    } catch {
      throw .receiving(error)
    }
  }

  /// Submits what was prepared, without waiting.
  func submit() throws(Errno) { try unsafe uring_enter(ring, waits: false) }

  /// Submits what was prepared, and waits until there is a completion.
  func waitForCompletion() throws(Errno) { try unsafe uring_enter(ring, waits: true) }

  /// Takes the next completion off, nil where there is none. Without a system call.
  func popCompletion() -> Completion? {
    var completion = curing_completion()
    guard unsafe curing_ring_next(ring, &completion) == 1 else { return nil }
    return Completion(
      userData: completion.user_data, result: completion.result, flags: completion.flags,
      offset: completion.offset)
  }

  /// Prepares a receive that goes on by itself (`IORING_RECV_MULTISHOT`), into buffers of `group`.
  /// - Precondition: fewer requests are prepared than the ring submits at once.
  func prepareReceive(_ socket: borrowing OwnedFileDescriptor, group: UInt16, userData: UInt64) {
    let result = unsafe curing_ring_receive(ring, socket.rawValue, group, userData)
    precondition(result == 0, "more requests prepared than the ring has room for")
  }

  /// Prepares a zero-copy receive that goes on by itself (`IORING_OP_RECV_ZC`).
  /// - Precondition: as ``prepareReceive(_:group:userData:)``.
  func prepareZeroCopyReceive(
    _ socket: borrowing OwnedFileDescriptor, into refill: RefillRing, userData: UInt64
  ) {
    let result = unsafe withUnsafePointer(to: refill.instance) {
      unsafe curing_zerocopy_receive(ring, socket.rawValue, $0, userData)
    }
    precondition(result == 0, "more requests prepared than the ring has room for")
  }

  /// Prepares a send of all bytes, without a copy where `piece` is one of registered memory.
  /// - Parameter isFollowed: whether what is prepared next begins after it.
  /// - Precondition: as ``prepareReceive(_:group:userData:)``; the memory stays as it is until the
  ///   send has completed, and without a copy until it was notified.
  func prepareSend(
    _ socket: borrowing OwnedFileDescriptor, _ bytes: UnsafeRawBufferPointer, piece: Int?,
    isFollowed: Bool, userData: UInt64
  ) {
    let result = unsafe curing_ring_send(
      ring, socket.rawValue, bytes.baseAddress, bytes.count, Int32(piece ?? -1),
      isFollowed ? 1 : 0, userData)
    precondition(result == 0, "more requests prepared than the ring has room for")
  }

  /// Prepares a send without a copy of all bytes that lie in the places which were added to
  /// `messages`. As above.
  func prepareSend(
    _ socket: borrowing OwnedFileDescriptor, _ messages: OpaquePointer, piece: Int,
    isFollowed: Bool, userData: UInt64
  ) {
    let result = unsafe curing_ring_send_message(
      ring, socket.rawValue, messages, Int32(piece), isFollowed ? 1 : 0, userData)
    precondition(result == 0, "more requests prepared than the ring has room for")
  }

  /// Ends the requests with this `userData`, and returns when they have ended.
  func cancel(userData: UInt64) { unsafe uring_cancel(ring, userData: userData) }

  /// Takes a group of buffers back from the kernel, which writes to none of them any more after
  /// this, whatever is under way.
  func unregisterBuffers(group: UInt16) { unsafe uring_unregisterBuffers(ring, group: group) }
}
