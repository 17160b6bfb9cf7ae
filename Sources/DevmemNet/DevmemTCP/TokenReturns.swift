// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import Synchronization

/// A receiver's socket and the tokens that its fragments owe the kernel: what receiver and
/// fragments share. The socket stays open until the last of them has ended, so that no fragment's
/// memory is handed out again under its holder.
///
/// A fragment that ends, on any thread, adds its token to a ring. They go to the kernel in batches
/// (`SO_DEVMEM_DONTNEED`): by the receiver at its next call, by whichever thread completes a batch,
/// and, while the receiver waits for data, at once, because the data may be waiting for that very
/// memory.
///
/// Costs: two atomic operations a fragment; one system call for up to 1024 tokens, 64 as a rule.
@safe
final class TokenReturns: Sendable {
  let socket: OwnedFileDescriptor
  /// The memory that fragments are in; nil only in tests of the bookkeeping.
  let buffer: DMABuf?
  /// The claim on it, so that it is not bound anew while fragments are held; nil if somebody else
  /// has it.
  private let memory: BoundMemory?
  // SAFETY: of `buffer`'s mapping, which it keeps.
  nonisolated(unsafe) let cpuBase: UnsafeMutableRawPointer?
  private let ring: TokenRing
  /// Tokens that wait before a thread that ends a fragment returns them itself.
  private let batchCount: Int
  /// Tokens that the kernel has given out and not taken back.
  private let owedCount = Atomic<Int>(0)
  /// Whether every token is returned at once.
  private let isUrgent = Atomic<Bool>(false)
  private let batch: Mutex<TokenBatch>

  init(
    socket: consuming OwnedFileDescriptor, buffer: DMABuf?, memory: BoundMemory? = nil, limit: Int
  ) {
    self.socket = socket
    self.buffer = buffer
    self.memory = memory
    unsafe cpuBase = unsafe buffer?.cpuMapping?.baseAddress
    ring = TokenRing(capacity: limit)
    // A quarter of what may be owed, so that batching never keeps the card short of memory.
    batchCount = min(64, max(1, limit / 4))
    batch = Mutex(TokenBatch())
  }

  /// Whether the memory has the bytes that the kernel speaks of.
  func covers(_ message: DMABufMessage) -> Bool {
    guard let buffer else { return true }
    let end = message.offset.addingReportingOverflow(UInt64(message.byteCount))
    return !end.overflow && end.partialValue <= UInt64(buffer.byteCount)
  }

  /// Whether the CPU may read fragments now.
  var isReadable: Bool { buffer?.cpuMapping != nil && buffer?.isCPUAccessOpen(for: .read) == true }

  // MARK: What is owed

  /// Tokens that the kernel has given out and not taken back: held, or on their way. Any thread.
  var owed: Int { owedCount.load(ordering: .acquiring) }
  /// Of those, the ones whose fragments have ended. Any thread; a snapshot.
  var waitingCount: Int { ring.count }

  /// What became of the tokens so far. Any thread.
  var counts: TokenBatch.Counts { batch.withLock { $0.counts } }

  /// The kernel has given out `count` more.
  func issue(_ count: Int) { owedCount.add(count, ordering: .relaxed) }

  /// The fragment of this token has ended. Any thread; never waits for another one.
  func end(_ token: UInt32) {
    let count = ring.push(token)
    // The push before the flag: see setUrgent.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if count >= batchCount || isUrgent.load(ordering: .relaxed) { flushIfIdle() }
  }

  /// From now on every token is returned as its fragment ends, or no longer.
  func setUrgent(_ urgent: Bool) {
    isUrgent.store(urgent, ordering: .relaxed)
    guard urgent else { return }
    // The flag before the look into the ring: a token pushed by a thread that does not see the flag
    // is seen here.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    flushIfIdle()
  }

  /// Returns what a batch is full of. The receiver calls it before it receives.
  func flushFullBatches() { if ring.count >= batchCount { flushIfIdle() } }

  /// Returns the waiting tokens, unless another thread is at it: that one then looks again.
  private func flushIfIdle() {
    repeat {
      // Nil: another thread has it. False: the kernel refused; the next call tries again.
      guard batch.withLockIfAvailable({ drain(&$0) }) == true else { return }
      // Whoever found the lock taken has pushed before it looked.
      atomicMemoryFence(ordering: .sequentiallyConsistent)
    } while ring.hasNext && (isUrgent.load(ordering: .relaxed) || ring.count >= batchCount)
  }

  /// Returns every token whose fragment has ended before this call.
  /// - Returns: how many tokens the kernel has freed and how many it did not know.
  func flushAll() throws(Errno) -> (freed: Int, unknown: Int) {
    let result = batch.withLock { batch -> Result<(freed: Int, unknown: Int), Errno> in
      let before = batch.counts
      drain(&batch)
      if let error = batch.failure { return .failure(error) }
      return .success(
        (batch.counts.freed - before.freed, batch.counts.unknown - before.unknown))
    }
    return try result.get()
  }

  /// - Returns: false if the kernel refused.
  @discardableResult
  private func drain(_ batch: inout TokenBatch) -> Bool {
    batch.failure = nil
    repeat {
      // What a failed call has left comes first.
      while !batch.isFull, let token = ring.pop() { batch.append(token) }
      let count = batch.send(over: socket)
      // Releasing, and acquiring in `owed`: whoever is given these tokens again finds their slots
      // free.
      owedCount.subtract(count, ordering: .releasing)
    } while batch.failure == nil && ring.hasNext
    return batch.failure == nil
  }

  /// The receiver has gone. Fragments that are still held keep the socket, but the connection ends:
  /// the peer learns at once that nobody reads any more.
  func orphan() {
    setUrgent(true)
    if owed > 0 { try? socket.endConnection() }
  }
}

/// The claim on received device memory that a token stands for (`frag_token` of `struct
/// dmabuf_cmsg`). Ends exactly once, on whatever thread: the token is then on its way back to the
/// kernel.
struct KernelFragment: ~Copyable, Sendable {
  let returns: TokenReturns
  let token: UInt32

  init(returns: TokenReturns, token: UInt32) {
    self.returns = returns
    self.token = token
  }

  deinit { returns.end(token) }
}
