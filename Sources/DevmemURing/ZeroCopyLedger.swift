// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem
internal import Synchronization

/// Which ring holds which buffer of an instance that several rings share, in memory that all of
/// them map: the kernel does not note it, and gives nothing back when one of them dies.
///
/// It is kept in order by locks on bytes of the memory file (`F_OFD_SETLKW`, fcntl(2)), which the
/// kernel takes away from whoever dies, at whatever instruction:
/// - a byte for each ring, locked as long as that ring or a fragment of it is there;
/// - the gate: shared by rings while the kernel hands them buffers, until these are noted here; for
///   one alone who gives buffers back. So a ring that gives back what the dead had knows what all
///   others have.
///
/// What the memory says is believed of nobody's bytes: who writes nonsense there makes buffers get
/// lost, or come back too early, which is found when the kernel fills one that is held.
///
/// Thread rules: the instance's thread. The locks go with the last reference, on any.
@safe
final class ZeroCopyLedger: @unchecked Sendable {
  /// Rings that may share one instance at the same time.
  static let ringLimit = 16

  /// What all of them have to know of the instance.
  struct Shape: Hashable {
    var capacity: Int
    var iovByteCount: Int
    var entryCount: Int
    var reserveCount: Int
    var token: UInt64
    var isOverCard: Bool
    /// Whether the kernel can write to the memory.
    var canCopy: Bool
    var hasCounts: Bool

    /// In the order in which they are written.
    fileprivate var words: [UInt64] {
      [
        Self.magic, UInt64(capacity), UInt64(iovByteCount), UInt64(entryCount),
        UInt64(reserveCount), token, isOverCard ? 1 : 0, canCopy ? 1 : 0, hasCounts ? 1 : 0,
      ]
    }

    /// "zcrxled1".
    private static let magic: UInt64 = 0x3164_656c_7872_637a

    fileprivate init?(_ words: [UInt64], byteCount: Int) {
      let sizes = words[1...4].map { Int(truncatingIfNeeded: $0) }
      guard words[0] == Self.magic, sizes.allSatisfy({ (0...1 << 40).contains($0) }),
        sizes[0] > 0, sizes[0] <= byteCount - ZeroCopyLedger.holdersOffset,
        (4096...2 << 20).contains(sizes[1]), sizes[1] & (sizes[1] - 1) == 0,
        (1...RefillRing.entryLimit).contains(sizes[2]), sizes[2] & (sizes[2] - 1) == 0,
        words[5] == 0
      else { return nil }
      (capacity, iovByteCount, entryCount, reserveCount) = (sizes[0], sizes[1], sizes[2], sizes[3])
      token = words[5]
      isOverCard = words[6] != 0
      canCopy = words[7] != 0
      hasCounts = words[8] != 0
    }

    init(
      capacity: Int, iovByteCount: Int, entryCount: Int, reserveCount: Int, token: UInt64,
      isOverCard: Bool, canCopy: Bool, hasCounts: Bool
    ) {
      self.capacity = capacity
      self.iovByteCount = iovByteCount
      self.entryCount = entryCount
      self.reserveCount = reserveCount
      self.token = token
      self.isOverCard = isOverCard
      self.canCopy = canCopy
      self.hasCounts = hasCounts
    }
  }

  private static let shapeWordCount = 9
  // Offsets in the memory; the holders are a byte each: 0, or a ring's number.
  private static let generationOffset = 128
  private static let countsOffset = 256
  private static let holdersOffset = 4096
  /// The byte that is the gate; rings have theirs from 1.
  private static let gate: UInt64 = 0
  /// Of a ring's count: that it is there, or was and nobody has given back yet what it had.
  private static let hasJoined: UInt64 = 1 << 63

  let file: MemoryFile
  let shape: Shape
  /// This ring's number, from 1.
  let number: Int
  private let locks: LockFile
  // SAFETY: `holdersOffset + shape.capacity` bytes at least; sealed, so that they stay. Words are
  // read and written atomically; holders by who has the gate, each ring its own alone unless it is
  // there for itself alone.
  private let memory: MemoryMapping

  /// Makes one, for the first ring; all buffers are the kernel's.
  init(_ shape: Shape) throws(Errno) {
    let page = SystemProcess.pageByteCount
    let byteCount = (Self.holdersOffset + shape.capacity + page - 1) / page * page
    file = try MemoryFile(name: "zcrx-ledger", byteCount: byteCount)
    try file.addSeals()
    memory = try file.map()
    self.shape = shape
    locks = try LockFile(reopening: file.descriptor)
    number = 1
    guard try locks.lock(1) else { throw .EBUSY }
    word(at: Self.countsOffset + 8).value = Self.hasJoined
    for (index, word) in shape.words.enumerated() {
      unsafe memory.bytes.storeBytes(of: word, toByteOffset: index * 8, as: UInt64.self)
    }
  }

  /// Takes over a place that ``place()`` made.
  /// - Throws: `EUCLEAN` where the memory is no ledger.
  init(joining file: MemoryFile, as number: Int, _ locks: LockFile) throws(Errno) {
    guard try file.seals().contains(.shrink), file.byteCount > Self.holdersOffset,
      (1...Self.ringLimit).contains(number)
    else { throw .EUCLEAN }
    let memory = try file.map()
    let words = (0..<Self.shapeWordCount).map {
      unsafe memory.bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)
    }
    guard let shape = Shape(words, byteCount: file.byteCount) else { throw .EUCLEAN }
    self.memory = memory
    self.file = file
    self.shape = shape
    self.number = number
    self.locks = locks
  }

  /// A place for another ring: its number, and an open file that has its lock.
  /// - Throws: `EBUSY` where there are as many as there may be; `ENOENT` without /proc.
  func place() throws(Errno) -> (number: Int, locks: LockFile) {
    let locks = try LockFile(reopening: file.descriptor)
    for number in 1...Self.ringLimit where try locks.lock(UInt64(number)) {
      // One that died there may have left buffers.
      let count = word(at: Self.countsOffset + number * 8)
      if count.value == 0 {
        count.value = Self.hasJoined
        return (number, locks)
      }
      locks.unlock(UInt64(number))
    }
    throw .EBUSY
  }

  /// The open file that has this ring's lock.
  var lockDescriptorNumber: Int32 { locks.descriptorNumber }

  // MARK: The gate

  /// Runs `body` while no ring gives buffers back: for calls in which the kernel hands some out,
  /// until they are noted.
  func whileOpen(_ body: () throws(Errno) -> Void) throws(Errno) {
    try pass(isShared: true, body)
  }

  /// Runs `body` while no other ring is handed a buffer, or gives one back.
  func alone(_ body: () throws(Errno) -> Void) throws(Errno) {
    try pass(isShared: false, body)
  }

  private func pass(isShared: Bool, _ body: () throws(Errno) -> Void) throws(Errno) {
    try locks.await(Self.gate, isShared: isShared)
    defer { locks.unlock(Self.gate) }
    try body()
  }

  // MARK: Who holds what

  /// Notes that this ring holds a buffer.
  func hold(_ index: Int) {
    guard index < shape.capacity, holder(of: index) != number else { return }
    // The count first, and last below: of a ring that dies in between it is too large, and so it is
    // known to have died.
    add(1, toCountOf: number)
    set(holder: number, of: index)
  }

  /// Notes that it does not any more. Before the kernel gets it.
  func release(_ index: Int) {
    guard holder(of: index) == number else { return }
    set(holder: 0, of: index)
    add(-1, toCountOf: number)
  }

  /// Buffers that no ring holds.
  var count: Int {
    let held = (1...Self.ringLimit).reduce(0) { $0 + heldCount($1) }
    return max(0, shape.capacity - held)
  }

  /// Grows whenever the kernel was told to take buffers.
  var generation: UInt64 { word(at: Self.generationOffset).value }

  /// The kernel was told to take buffers.
  func advance() {
    word(at: Self.generationOffset).increment()
  }

  /// Rings that are there beside this one, or fragments of such.
  func othersCount() throws(Errno) -> Int {
    var found = 0
    for other in 1...Self.ringLimit where other != number {
      if try isAlive(other) { found += 1 }
    }
    return found
  }

  /// Whether a ring has gone, and nobody has given back yet what it had: also buffers that the
  /// kernel handed to it and that it did not note any more.
  func hasDead() throws(Errno) -> Bool {
    for other in 1...Self.ringLimit where word(at: Self.countsOffset + other * 8).value != 0 {
      if try !isAlive(other) { return true }
    }
    return false
  }

  private func isAlive(_ other: Int) throws(Errno) -> Bool {
    if other == number { return true }
    return try locks.isLockedByOthers(UInt64(other))
  }

  /// Calls `push` with each buffer that no living ring holds: what the dead had, and what the
  /// kernel has anyway. To be called ``alone(_:)``.
  func sweep(_ push: (_ index: Int) throws(Errno) -> Void) throws(Errno) {
    var areAlive = [Bool](repeating: false, count: 256)
    for other in 1...Self.ringLimit { areAlive[other] = try isAlive(other) }
    for index in 0..<shape.capacity where !areAlive[holder(of: index)] {
      set(holder: 0, of: index)
      try push(index)
    }
    for other in 1...Self.ringLimit where !areAlive[other] {
      word(at: Self.countsOffset + other * 8).value = 0
    }
  }

  private func holder(of index: Int) -> Int {
    Int(unsafe memory.bytes[Self.holdersOffset + index])
  }

  private func set(holder: Int, of index: Int) {
    unsafe memory.bytes[Self.holdersOffset + index] = UInt8(holder)
  }

  private func heldCount(_ number: Int) -> Int {
    let count = word(at: Self.countsOffset + number * 8).value & ~Self.hasJoined
    return Int(min(count, UInt64(shape.capacity)))
  }

  private func add(_ difference: Int64, toCountOf number: Int) {
    let count = word(at: Self.countsOffset + number * 8)
    // Nobody else writes it while this ring lives.
    count.value &+= UInt64(bitPattern: difference)
  }

  private func word(at offset: Int) -> SharedWord {
    unsafe SharedWord(memory.baseAddress + offset)
  }
}

/// A word of memory that other processes have as well.
@safe
private struct SharedWord {
  // SAFETY: eight aligned bytes that are mapped as long as the ledger whose they are.
  private let address: UnsafeMutablePointer<Atomic<UInt64>>

  init(_ address: UnsafeMutableRawPointer) {
    unsafe self.address = address.assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  var value: UInt64 {
    get { unsafe address.pointee.load(ordering: .acquiring) }
    nonmutating set { unsafe address.pointee.store(newValue, ordering: .releasing) }
  }

  func increment() {
    unsafe address.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing)
  }
}
