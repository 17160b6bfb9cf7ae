// SPDX-License-Identifier: Apache-2.0

/// What has been sent and not completed: which fragments the kernel may still read, and which of
/// its calls keep them.
///
/// The kernel numbers the zero-copy calls of a socket from 0, wrapping at 2^32, and names them in
/// ranges when they are done: in any order, several calls in one range, each call once
/// (`__msg_zerocopy_callback`, net/core/skbuff.c). A packet takes one call or, where the socket
/// took a part only, several; its fragments end when all of its calls are done.
///
/// Nothing is allocated after init. Not thread-safe; no system call in it.
@safe
struct SendWindow: ~Copyable, @unchecked Sendable {
  /// A packet in flight.
  private struct Record {
    /// Calls that are not done.
    var openCalls = 0
    /// Whether more calls may follow.
    var isOpen = true
    var fragmentStart = 0
    var fragmentCount = 0
    var byteCount = 0
    /// Whether the fragments have ended.
    var isReleased = false
  }

  // SAFETY: `fragments` has room for `fragmentMask` + 1, of which those of the records that are not
  // released are initialised; `records` and `calls` hold trivial elements, all initialised in init.
  // All are freed in deinit.
  private let fragments: UnsafeMutablePointer<PayloadFragment>
  private let fragmentMask: Int
  private let records: UnsafeMutablePointer<Record>
  /// For each call, by number: the place of its packet's record, or -1 when it is done.
  private let calls: UnsafeMutablePointer<Int>
  private let callMask: Int

  /// Fragments in flight at most.
  let fragmentLimit: Int
  /// Calls in flight at most; also packets.
  let callLimit: Int

  // Positions that only grow; what is in flight lies between them.
  private var firstRecord = 0
  private var nextRecord = 0
  private var firstFragment = 0
  private var nextFragment = 0
  private var firstCall: UInt32
  /// The number that the next call will get.
  private(set) var nextCall: UInt32

  /// Calls in flight.
  private(set) var callCount = 0
  /// Bytes in flight, of packets whose fragments have not ended.
  private(set) var byteCount = 0
  /// Fragments that have not ended.
  private(set) var fragmentCount = 0
  /// Numbers in completions that were not in flight.
  private(set) var unexpectedCount = 0

  deinit {
    for position in firstRecord..<nextRecord where unsafe !records[position & callMask].isReleased {
      unsafe endFragments(records[position & callMask])
    }
    unsafe fragments.deallocate()
    unsafe records.deallocate()
    unsafe calls.deallocate()
  }

  /// An empty window.
  /// - Parameters:
  ///   - callLimit: 1 or more; rounded up to a power of two.
  ///   - fragmentLimit: 1 or more; rounded up to a power of two.
  ///   - firstCall: the number of the socket's first call.
  init(callLimit: Int, fragmentLimit: Int, firstCall: UInt32 = 0) {
    precondition(callLimit > 0 && callLimit <= 1 << 24, "call limit out of range")
    precondition(fragmentLimit > 0, "a window holds at least one fragment")
    self.callLimit = Self.powerOfTwo(callLimit)
    self.fragmentLimit = Self.powerOfTwo(fragmentLimit)
    callMask = self.callLimit - 1
    fragmentMask = self.fragmentLimit - 1
    unsafe fragments = .allocate(capacity: self.fragmentLimit)
    unsafe records = .allocate(capacity: self.callLimit)
    unsafe records.initialize(repeating: Record(), count: self.callLimit)
    unsafe calls = .allocate(capacity: self.callLimit)
    unsafe calls.initialize(repeating: -1, count: self.callLimit)
    self.firstCall = firstCall
    nextCall = firstCall
  }

  private static func powerOfTwo(_ count: Int) -> Int {
    1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
  }

  /// Whether nothing is in flight.
  var isEmpty: Bool { firstRecord == nextRecord }

  /// Whether a packet of so many fragments can be opened. What lies behind one that is not done
  /// does not make room, though it has ended.
  func hasRoom(forFragments count: Int) -> Bool {
    nextRecord - firstRecord < callLimit && hasRoomForCall
      && nextFragment - firstFragment + count <= fragmentLimit
  }

  /// Whether the open packet can make another call.
  var hasRoomForCall: Bool { Int(nextCall &- firstCall) < callLimit }

  // MARK: Sending

  /// Begins a packet, and takes its fragments.
  /// - Precondition: there is room, and no packet is open.
  mutating func open(_ packet: inout FragmentList) {
    precondition(hasRoom(forFragments: packet.count), "the window is full")
    var record = Record()
    record.fragmentStart = nextFragment
    while let fragment = packet.popFirst() {
      record.byteCount += fragment.byteCount
      unsafe (fragments + (nextFragment & fragmentMask)).initialize(to: fragment)
      nextFragment += 1
      record.fragmentCount += 1
    }
    byteCount += record.byteCount
    fragmentCount += record.fragmentCount
    unsafe records[nextRecord & callMask] = record
    nextRecord += 1
  }

  /// The fragments of the packet that is open.
  var openFragmentCount: Int { unsafe records[(nextRecord - 1) & callMask].fragmentCount }

  func withOpenFragment<Result, Failure: Error>(
    at position: Int, _ body: (borrowing PayloadFragment) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let record = unsafe records[(nextRecord - 1) & callMask]
    precondition(record.isOpen && position < record.fragmentCount, "no such open fragment")
    return try unsafe body(fragments[(record.fragmentStart + position) & fragmentMask])
  }

  /// A zero-copy call has taken something of the open packet.
  mutating func count() {
    precondition(hasRoomForCall, "too many calls in flight")
    let place = (nextRecord - 1) & callMask
    unsafe records[place].openCalls += 1
    unsafe calls[Int(nextCall) & callMask] = place
    nextCall &+= 1
    callCount += 1
  }

  /// The open packet makes no more calls.
  mutating func close() {
    let place = (nextRecord - 1) & callMask
    unsafe records[place].isOpen = false
    releaseIfDone(place)
    advance()
  }

  // MARK: Completing

  /// The kernel is done with the calls of a range, both ends included.
  /// - Returns: how many calls that were.
  @discardableResult
  mutating func complete(first: UInt32, last: UInt32) -> Int {
    var done = 0
    // A range of 2^32 would be one that ends before it begins; nobody has sent so much.
    let length = min(UInt64(last &- first) + 1, UInt64(callLimit) + 1)
    for step in 0..<UInt32(length) {
      let number = first &+ step
      let place = unsafe calls[Int(number) & callMask]
      guard number &- firstCall < nextCall &- firstCall, place >= 0 else {
        unexpectedCount += 1
        continue
      }
      unsafe calls[Int(number) & callMask] = -1
      unsafe records[place].openCalls -= 1
      callCount -= 1
      done += 1
      releaseIfDone(place)
    }
    advance()
    return done
  }

  private mutating func releaseIfDone(_ place: Int) {
    let record = unsafe records[place]
    guard !record.isOpen, record.openCalls == 0, !record.isReleased else { return }
    unsafe records[place].isReleased = true
    byteCount -= record.byteCount
    fragmentCount -= record.fragmentCount
    endFragments(record)
  }

  private func endFragments(_ record: Record) {
    for position in record.fragmentStart..<record.fragmentStart + record.fragmentCount {
      unsafe (fragments + (position & fragmentMask)).deinitialize(count: 1)
    }
  }

  /// Makes room of what is done at the front.
  private mutating func advance() {
    while firstCall != nextCall, unsafe calls[Int(firstCall) & callMask] < 0 { firstCall &+= 1 }
    while firstRecord < nextRecord, unsafe records[firstRecord & callMask].isReleased {
      unsafe firstFragment += records[firstRecord & callMask].fragmentCount
      firstRecord += 1
    }
  }
}
