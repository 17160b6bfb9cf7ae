// SPDX-License-Identifier: Apache-2.0

internal import DevmemSystem
internal import Synchronization

/// A thread that sleeps until one of many fences signals (epoll(7)), for tasks that wait and for
/// buffers that are put after a fence.
///
/// Idle it uses no processor time. Who is watched keeps the watch alive; without references and
/// without anything to watch the thread ends by itself, as that of a ``SingleThreadExecutor``.
/// Three descriptors. All members may be called from any thread.
package final class FenceWatch: Sendable {
  private let table: Table
  /// Its closing ends the thread.
  private let bell: Mutex<UnixSocket?>
  private let thread: SystemThread

  // The thread is dropped after this: that waits for its end, or lets it end alone.
  deinit { bell.withLock { $0 = nil } }

  /// Starts the thread.
  ///
  /// - Throws: ``FenceError/Code/descriptorLimit``; ``FenceError/Code/systemCall`` if there can be
  ///   no further thread. Nothing is left behind then.
  package init() throws(FenceError) {
    let made = try FenceError.wrapping({ .step("starting a thread that watches fences", $0) }) {
      () throws(Errno) -> (Table, UnixSocket, Made) in
      let (bell, ear) = try UnixSocket.pair()
      let table = Table(poll: try EventPoll(), ear: ear)
      try table.poll.add(ear.descriptor.rawValue)
      let thread = try SystemThread(name: "fences", processors: .ofProcess()) { table.run() }
      return (table, bell, Made(thread))
    }
    table = made.0
    bell = Mutex(made.1)
    thread = made.2.take()
  }

  /// Calls `action` on the watch's thread once the descriptor is ready; at once if it is.
  ///
  /// - Parameters:
  ///   - number: a descriptor that nothing but `owner` closes.
  ///   - owner: kept until the action has run or was called off.
  /// - Returns: what ``callOff(_:)`` takes.
  func add(
    _ number: Int32, of owner: any AnyObject & Sendable, _ interest: TCPSocket.Interest,
    _ action: @escaping @Sendable () -> Void
  ) throws(FenceError) -> Entry.ID {
    try FenceError.wrapping({ .step("watching a fence", $0) }) {
      () throws(Errno) in
      try table.add(number, Keep(watch: self, owner: owner), interest, action)
    }
  }

  /// Forgets an action that has not begun; nothing happens for one that has.
  func callOff(_ id: Entry.ID) { table.callOff(id) }

  /// Actions that wait for their descriptors.
  package var count: Int { table.count }

  /// Suspends the calling task until a descriptor is ready, whatever it is of.
  ///
  /// - Parameter owner: keeps the descriptor open.
  /// - Throws: ``FenceError/Code/cancelled``, ``FenceError/Code/timedOut``.
  package nonisolated(nonsending) func wait(
    for number: Int32, of owner: any AnyObject & Sendable, _ interest: TCPSocket.Interest,
    _ limit: Duration?, operation: String
  ) async throws(FenceError) {
    let moment = Moment()
    let id = try add(number, of: owner, interest) { moment.end(.ready) }
    let timer = limit.map { limit in
      Task {
        try await Task.sleep(for: limit)
        moment.end(.timedOut)
      }
    }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { moment.attach($0) }
    } onCancel: {
      moment.end(.cancelled)
    }
    timer?.cancel()
    switch outcome {
    case .ready: return
    case .timedOut:
      callOff(id)
      throw .timedOut(operation)
    case .cancelled:
      callOff(id)
      throw FenceError(.cancelled, operation)
    }
  }

  /// Carries a thread out of a closure.
  private final class Made {
    private var thread: SystemThread?
    init(_ thread: consuming SystemThread) { self.thread = consume thread }
    func take() -> SystemThread {
      guard let thread = thread.take() else { fatalError("a thread is taken once") }
      return thread
    }
  }
}

// MARK: - What is watched

extension FenceWatch {
  /// What an action keeps alive.
  struct Keep: Sendable {
    let watch: FenceWatch
    let owner: any AnyObject & Sendable
  }

  /// A descriptor with the actions that wait for it.
  struct Entry: Sendable {
    struct ID: Sendable {
      let number: Int32
      let serial: UInt64
    }
    var actions: [UInt64: @Sendable () -> Void] = [:]
    var keep: Keep
  }

  /// What the watch and its thread share. Not the watch itself, which the thread must not keep.
  final class Table: Sendable {
    let poll: EventPoll
    private let ear: UnixSocket
    private struct Contents {
      var lastSerial: UInt64 = 0
      var entries: [Int32: Entry] = [:]
    }
    private let contents = Mutex(Contents())

    init(poll: EventPoll, ear: UnixSocket) {
      self.poll = poll
      self.ear = ear
    }

    var count: Int {
      contents.withLock { $0.entries.values.reduce(0) { $0 + $1.actions.count } }
    }

    func add(
      _ number: Int32, _ keep: Keep, _ interest: TCPSocket.Interest,
      _ action: @escaping @Sendable () -> Void
    ) throws(Errno) -> Entry.ID {
      // Under the lock: the thread looks for the entry as soon as the kernel knows of it.
      let result: Result<Entry.ID, Errno> = contents.withLock { contents in
        contents.lastSerial += 1
        let id = Entry.ID(number: number, serial: contents.lastSerial)
        if contents.entries[number] == nil {
          do throws(Errno) {
            try poll.add(number, for: interest)
          } catch {
            return .failure(error)
          }
          contents.entries[number] = Entry(keep: keep)
        }
        contents.entries[number]?.actions[id.serial] = action
        return .success(id)
      }
      return try result.get()
    }

    func callOff(_ id: Entry.ID) {
      // What goes with the entry goes outside of the lock.
      let last = contents.withLock { contents -> Entry? in
        guard contents.entries[id.number]?.actions.removeValue(forKey: id.serial) != nil,
          contents.entries[id.number]?.actions.isEmpty == true
        else { return nil }
        return take(id.number, from: &contents)
      }
      withExtendedLifetime(last) {}
    }

    private func take(_ number: Int32, from contents: inout Contents) -> Entry? {
      guard let entry = contents.entries.removeValue(forKey: number) else { return nil }
      // It is watched, and open: the entry keeps its owner.
      _ = try? poll.remove(number)
      return entry
    }

    /// What the thread does until the bell is closed.
    func run() {
      var ready: [Int32] = []
      while true {
        do throws(Errno) {
          try poll.wait(into: &ready)
        } catch {
          fatalError("waiting for fences: \(error)")
        }
        for number in ready where number != ear.descriptor.rawValue {
          // None if it was called off meanwhile.
          guard let entry = contents.withLock({ take(number, from: &$0) }) else { continue }
          for action in entry.actions.sorted(by: { $0.key < $1.key }) { action.value() }
        }
        if ready.contains(ear.descriptor.rawValue) { return }
      }
    }
  }
}

// MARK: - A task that waits

extension FenceWatch {
  /// How a task's wait ends: by what comes first.
  private final class Moment: Sendable {
    enum Outcome: Sendable {
      case ready
      case timedOut
      case cancelled
    }
    private enum State {
      case open
      case waiting(CheckedContinuation<Outcome, Never>)
      case over(Outcome)
    }
    private let state = Mutex(State.open)

    func attach(_ continuation: CheckedContinuation<Outcome, Never>) {
      let outcome = state.withLock { state -> Outcome? in
        if case .over(let outcome) = state { return outcome }
        state = .waiting(continuation)
        return nil
      }
      if let outcome { continuation.resume(returning: outcome) }
    }

    func end(_ outcome: Outcome) {
      let continuation = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
        switch state {
        case .open:
          state = .over(outcome)
          return nil
        case .waiting(let continuation):
          state = .over(outcome)
          return continuation
        case .over: return nil
        }
      }
      continuation?.resume(returning: outcome)
    }
  }
}
