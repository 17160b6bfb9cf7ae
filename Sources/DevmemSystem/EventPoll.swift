// SPDX-License-Identifier: Apache-2.0

/// Says which of many descriptors are ready (`struct eventpoll`, fs/eventpoll.c; epoll(7)).
///
/// Level-triggered: a descriptor is named again as long as it is ready. What is watched is the
/// caller's, named by its number, and has to be removed, or closed everywhere, before the number
/// means something else. All members may be called from any thread.
///
/// A loop over it is one thread's way to serve many receivers from one page pool.
public final class EventPoll: Sendable {
  /// Descriptors that one ``wait(into:milliseconds:)`` names at most; the others come with the
  /// next.
  package static let readyCountLimit = 64

  /// The poll's own descriptor, close-on-exec: readable while something is ready.
  package let descriptor: OwnedFileDescriptor

  /// Watches nothing yet.
  ///
  /// - Throws: `EMFILE`, `ENFILE`.
  public init() throws(Errno) {
    descriptor = try system_epollCreate()
  }

  /// Watches a descriptor.
  ///
  /// Errors and the peer's end are told whatever the interest.
  /// - Throws: `EEXIST` for one that is watched already, `EPERM` for a regular file, `ENOSPC` above
  ///   /proc/sys/fs/epoll/max_user_watches.
  public func add(
    _ number: Int32, for interest: TCPSocket.Interest = .readable
  ) throws(Errno) {
    try system_epollAdd(descriptor.rawValue, number, interest: interest.rawValue)
  }

  /// Stops watching a descriptor that is still open.
  ///
  /// - Throws: `ENOENT` for one that is not watched.
  public func remove(_ number: Int32) throws(Errno) {
    try system_epollRemove(descriptor.rawValue, number)
  }

  /// Waits until something is ready.
  ///
  /// - Parameters:
  ///   - ready: the numbers of ready descriptors, instead of what it held; its memory is used
  ///     again. Empty after the time.
  ///   - milliseconds: -1 waits for ever. Signals do not prolong it.
  /// - Throws: nothing that is expected.
  public func wait(into ready: inout [Int32], milliseconds: Int32 = -1) throws(Errno) {
    ready.removeAll(keepingCapacity: true)
    ready.append(contentsOf: repeatElement(-1, count: Self.readyCountLimit))
    let count = try system_epollWait(descriptor.rawValue, &ready, milliseconds: milliseconds)
    ready.removeLast(ready.count - count)
  }
}
