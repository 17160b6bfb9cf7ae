// SPDX-License-Identifier: Apache-2.0

internal import CURingShims
package import Devmem
package import DevmemNIC
internal import DevmemSystem
internal import Synchronization

/// An instance of io_uring's zero-copy receive (`struct io_zcrx_ifq`): an io_uring, memory to
/// receive into, and any number of connections (``ZeroCopyReceiver``).
///
/// Over a card's queue the card writes payload straight into the memory: header/data split on with
/// a threshold of 0, and the connections steered to the queue before their first byte (`NICSetup`).
/// Without a card any TCP socket will do, also over loopback, and the kernel copies each byte once.
///
/// Buffers come back by the refill ring. A card takes them out by itself: no system call. Without
/// one the kernel has to be told, and is, for many at once.
///
/// Events of the kernel and the fill of the memory make it grow (``ZeroCopyGrowth``).
///
/// The end, on any thread, closes the io_uring; over a card it waits until the queue is free,
/// because the card writes until then, and `NICSetup.restore()` needs it so.
///
/// Other rings may share it, in other threads and processes (``export()``): each receives its own
/// connections, into the same memory, and gives back what it had. None needs another one.
///
/// Thread rules: the thread that made it; it may end on any.
@safe
package final class ZeroCopyInstance {
  /// Where bytes come from.
  package enum Source: Hashable, Sendable {
    /// Any TCP socket (`ZCRX_REG_NODEV`).
    case anySocket
    /// A card's receive queue. `memory` says by which of its mappings the kernel gets the dma-buf.
    case queue(NetworkInterface, UInt32, memory: MemoryMapping = .descriptor)

    /// By which of its mappings a card gets a dma-buf.
    package enum MemoryMapping: Hashable, Sendable {
      /// The dma-buf itself: also memory of a device. What comes outside of it cannot be received.
      case descriptor
      /// The CPU mapping of the memory file: what comes outside of it is copied into it.
      case cpuMapping
    }
  }

  /// Sizes, and how it grows.
  package struct Configuration {
    /// Bytes of a receive buffer (`rx_buf_len`), a power of two from the page size to 2 MiB; more
    /// than a page only over a card that can.
    package var bufferByteCount: Int
    /// How memory is added; nil never does.
    package var growth: ZeroCopyGrowth?

    /// A configuration.
    package init(
      bufferByteCount: Int = PageSize.base4K.byteCount, growth: ZeroCopyGrowth? = nil
    ) {
      self.bufferByteCount = bufferByteCount
      self.growth = growth
    }
  }

  /// Of completions that are events of the instance; those of connections have their number.
  private static let eventUserData: UInt64 = 0
  /// Completions that a ring keeps at most (`IORING_MAX_CQ_ENTRIES`).
  private static let completionLimit = 1 << 16

  // SAFETY: initialised by init, and deinitialised by deinit before anything else ends.
  private let ringStorage: UnsafeMutablePointer<URing>
  /// A card's queue that is to be waited for in the end.
  private let queue: (NetworkInterface, UInt32)?
  /// Whether a card writes to the memory; else the kernel does.
  let isOverCard: Bool
  private let mapping: ZeroCopyArea.Mapping
  /// Buffers that the kernel has to have left for receiving to go on. A card needs some for each
  /// packet that is on its way; without one the kernel copies as long as there is any.
  let reserveCount: Int
  /// Where other rings have it as well: who holds what.
  private var ledger: ZeroCopyLedger?
  /// Whether other processes may have it.
  private let isOutside: ZeroCopyShare.Flag
  private let refillRing: RefillRing
  private var areas: [ZeroCopyArea]
  private let iovByteCount: Int
  private let growth: ZeroCopyGrowth?
  /// Whether an attempt to grow failed, and there was not enough memory since.
  private var isGrowthPaused = false
  /// Whether an event said that there is too little.
  private var isPressed = false
  /// What the last attempt to grow failed with.
  package private(set) var growthError: (any Error)?
  private var firedEvents: Set<UInt32> = []

  /// Whether the kernel has named a buffer that it did not have: what lies in any of them may be
  /// other bytes by now, for whichever connection they came.
  private(set) var isDamaged = false

  private var connections: [UInt64: ZeroCopyConnection] = [:]
  private var lastNumber: UInt64 = 0
  /// Connections whose receiver has ended on another thread.
  private let endedCount = Atomic<Int>(0)
  /// Buffers of completions that wait for their connection's next call.
  private var pendingCount = 0
  /// Grows with each time that the kernel has got buffers which it can give to a waiting request.
  private var ownGeneration: UInt64 = 0
  private var counts = ZeroCopyStatistics()

  deinit {
    unsafe ringStorage.deinitialize(count: 1)
    unsafe ringStorage.deallocate()
    // As long as somebody may write, nobody else gets the memory. Rings of this process have claims
    // of their own.
    let isFree: Bool =
      if let ledger, (try? ledger.othersCount()) != 0 {
        !isOutside.value.load(ordering: .acquiring)
      } else if let queue {
        Self.awaitFree(queue.0, queue.1)
      } else {
        true
      }
    if !isFree { for area in areas { area.keepMemory() } }
  }

  /// Registers memory.
  /// - Parameters:
  ///   - memory: where the bytes go, all of it: nobody else may have it carved or bound.
  ///   - source: a card's queue, or none.
  ///   - configuration: sizes, and how it grows.
  /// - Throws: ``URingError``: `.kernelUnsupported`, `.notPinnable`, `.permissionDenied`,
  ///   `.memoryLimit`, `.invalidConfiguration`, `.notContiguous`, and as ``URing``;
  ///   ``/Devmem/DevmemError`` where the memory is bound already, and where the card refuses:
  ///   `.interfaceMissing`, `.queueMissing`, `.queueBound`, `.queueInUse`, `.headerSplitDisabled`,
  ///   `.headerSplitThreshold`, `.xdpAttached`, `.pageSizeUnsupported`, `.receiveUnsupported`.
  package init(
    memory: DMABuf, from source: Source, configuration: Configuration = Configuration()
  ) throws {
    let capabilities = try ZeroCopyCapabilities.query()
    try Self.check(source, configuration, capabilities)
    let mapping: ZeroCopyArea.Mapping =
      if case .queue(_, _, .descriptor) = source { .descriptor } else { .cpu }
    self.mapping = mapping
    // A completion for each buffer and some to spare: the queue does not overflow, which would end
    // requests, unless there are more than 65536 buffers.
    let bufferLimit =
      max(memory.byteCount, configuration.growth?.maximumByteCount ?? 0)
      / configuration.bufferByteCount
    let ring = try URing(
      submissionCount: 64, completionCount: min(max(bufferLimit, 64) + 4, Self.completionLimit),
      isZeroCopy: true)
    let area = try ZeroCopyArea(
      memory, iovByteCount: configuration.bufferByteCount, mapping: mapping)
    let refillRing: RefillRing
    do throws(Errno) {
      refillRing = try unsafe area.withDescription { description throws(Errno) in
        try unsafe RefillRing(ring, bufferCount: bufferLimit, capabilities: capabilities) {
          request in
          unsafe request.memory = description
          unsafe request.event_user_data = Self.eventUserData
          guard case .queue(let interface, let queue, _) = source else { return }
          unsafe request.interface_index = interface.index
          unsafe request.queue = queue
          unsafe request.buffer_byte_count =
            configuration.bufferByteCount == PageSize.base4K.byteCount
            ? 0 : UInt32(configuration.bufferByteCount)
        }
      }
    } catch {
      guard case .queue(let interface, let queue, _) = source, error != .EFAULT, error != .ENOMEM
      else { throw area.refusal(error) }
      throw DevmemError.registeringQueue(error, queue, interface, configuration.bufferByteCount)
    }
    area.token = refillRing.firstToken
    area.lendAll()
    isOutside = ZeroCopyShare.Flag()
    if case .queue(let interface, let number, _) = source {
      queue = (interface, number)
    } else {
      queue = nil
    }
    isOverCard = source != .anySocket
    reserveCount = source == .anySocket ? 0 : area.capacity / 2
    self.refillRing = refillRing
    areas = [area]
    iovByteCount = configuration.bufferByteCount
    growth = configuration.growth
    unsafe ringStorage = .allocate(capacity: 1)
    unsafe ringStorage.initialize(to: ring)
  }

  /// Takes a place in an instance that another ring has exported (`ZCRX_REG_IMPORT`).
  /// - Throws: ``URingError``: `.kernelUnsupported`, `.permissionDenied`, `.shareDamaged`, and as
  ///   ``URing``; ``/Devmem/DevmemError`` where somebody else in this process has the memory bound.
  package init(importing share: consuming ZeroCopyShare) throws {
    let ledger = share.ledger
    let shape = ledger.shape
    let ring = try URing(
      submissionCount: 64,
      completionCount: min(max(shape.capacity, 64) + 4, Self.completionLimit),
      isZeroCopy: true)
    let carving =
      if let other = share.carving {
        try DMABufCarving(beside: other)
      } else {
        try DMABufCarving(
          share.memory, iovByteCount: shape.iovByteCount, addressing: .bufferOffset)
      }
    mapping = shape.canCopy ? .cpu : .descriptor
    let area = try ZeroCopyArea(carving, mapping: mapping)
    do throws(Errno) {
      refillRing = try RefillRing(
        ring, importing: share.exported, file: share.refillFile, entryCount: shape.entryCount,
        token: shape.token, counts: shape.hasCounts)
    } catch {
      throw URingError.sharing(error)
    }
    area.token = shape.token
    area.lendAll()
    area.share(ledger)
    self.ledger = ledger
    isOutside = share.isOutside
    queue = share.queue
    isOverCard = shape.isOverCard
    reserveCount = shape.reserveCount
    areas = [area]
    iovByteCount = shape.iovByteCount
    growth = nil
    unsafe ringStorage = .allocate(capacity: 1)
    unsafe ringStorage.initialize(to: ring)
  }

  /// A place for another ring: in this process or, sent over a Unix socket, in another one. It
  /// receives connections of its own; over a card they have to be steered to the same queue.
  ///
  /// From now on a call of the receivers takes locks, three system calls more, and does not wait in
  /// the kernel's io_uring but in `poll(2)`.
  /// - Throws: ``URingError``: `.invalidConfiguration` where it grows or too many rings share it,
  ///   `.kernelUnsupported`, `.descriptorLimit`, `.memoryLimit`.
  package func export() throws(URingError) -> ZeroCopyShare {
    guard growth == nil else {
      throw URingError(
        .invalidConfiguration, "sharing an instance of zero-copy receive that grows",
        remedy: "Give it all of its memory at the beginning.")
    }
    do throws(Errno) {
      let ledger = try sharedLedger()
      if try ledger.hasDead() { try areas[0].sweep(refillRing, ring, ledger) }
      let (number, locks) = try ledger.place()
      return ZeroCopyShare(
        exported: try refillRing.export(ring),
        ledger: try ZeroCopyLedger(joining: ledger.file, as: number, locks),
        refillFile: refillRing.file, memory: areas[0].carving.buffer, carving: areas[0].carving,
        queue: queue, isOutside: isOutside)
    } catch {
      throw .sharing(error)
    }
  }

  private func sharedLedger() throws(Errno) -> ZeroCopyLedger {
    if let ledger { return ledger }
    let ledger = try ZeroCopyLedger(
      ZeroCopyLedger.Shape(
        capacity: capacity, iovByteCount: iovByteCount, entryCount: refillRing.entryCount,
        reserveCount: reserveCount, token: areas[0].token, isOverCard: isOverCard,
        canCopy: mapping == .cpu, hasCounts: refillRing.hasCounts))
    areas[0].share(ledger)
    // What the kernel has handed out, but nobody has asked for yet.
    for connection in connections.values {
      connection.forEachPending { ledger.hold(areas[0].index(of: $0.offset)) }
    }
    self.ledger = ledger
    refillRing.isShared = true
    keepCompletions()
    return ledger
  }

  private static func check(
    _ source: Source, _ configuration: Configuration, _ capabilities: ZeroCopyCapabilities
  ) throws(URingError) {
    let page = PageSize.base4K.byteCount
    let size = configuration.bufferByteCount
    let isOverCard = source != .anySocket
    try URingError.check("bufferByteCount", size, in: page...(isOverCard ? 2 << 20 : page))
    guard size & (size - 1) == 0 else {
      throw URingError(
        .invalidConfiguration, "bufferByteCount \(size)", remedy: "Use a power of two.")
    }
    if !isOverCard && !capabilities.hasNoDevice {
      throw URingError(
        .kernelUnsupported, "receiving by zero copy without a network device",
        remedy: "This kernel has zero-copy receive with a card alone (no ZCRX_REG_NODEV): use"
          + " provided buffers, which any kernel since Linux 6.1 has.")
    }
    if size != page && !capabilities.hasBufferSize {
      throw URingError(
        .kernelUnsupported, "receiving into buffers of \(size) bytes",
        remedy: "This kernel has pages alone (no ZCRX_FEATURE_RX_PAGE_SIZE): use \(page).")
    }
    if case .queue(_, _, .descriptor) = source, !capabilities.takesDMABufs {
      throw URingError(
        .kernelUnsupported, "receiving by zero copy into a dma-buf",
        remedy: "This kernel takes no dma-buf (no IORING_ZCRX_AREA_DMABUF): use its CPU mapping.")
    }
    guard let growth = configuration.growth else { return }
    if !capabilities.canGrow {
      throw URingError(
        .kernelUnsupported, "receiving by zero copy into memory that grows",
        remedy: "This kernel adds none at run time (no ZCRX_CTRL_ADD_AREA): give it all the memory"
          + " at the beginning.")
    }
    try URingError.check("growth.stepByteCount", growth.stepByteCount, in: size...1 << 40)
    try URingError.check("growth.lowWatermark", growth.lowWatermark, in: 1...1 << 30)
    guard growth.stepByteCount % size == 0 else {
      throw URingError(
        .invalidConfiguration, "growth.stepByteCount \(growth.stepByteCount)",
        remedy: "Use a multiple of \(size).")
    }
  }

  /// Waits until zero-copy receive has a queue no longer: the kernel lets it go some time after the
  /// io_uring was closed.
  /// - Returns: false where it still has it after ten seconds.
  private static func awaitFree(_ interface: NetworkInterface, _ queue: UInt32) -> Bool {
    for _ in 0..<1000 {
      do throws(DevmemError) {
        var family = try NetdevFamily()
        if try !family.queue(.receive, queue, of: interface).isOnIOUring { return true }
      } catch {
        // An interface that has gone, or is down, has no such queue.
        if error.code == .interfaceMissing || error.code == .queueMissing { return true }
      }
      SystemProcess.pause(milliseconds: 10)
    }
    return false
  }

  // MARK: State

  var ring: URing {
    unsafeAddress { unsafe UnsafePointer(ringStorage) }
  }

  /// The memory, that of the beginning.
  package var memory: DMABuf { areas[0].carving.buffer }

  /// What the refill ring is in, for tests of what others can do to it.
  package var refillFile: MemoryFile { refillRing.file }

  /// Buffers that there are.
  package var capacity: Int { areas.reduce(0) { $0 + $1.capacity } }

  /// Of these, buffers that the kernel has, or that have come back to a ring that shares it.
  package var count: Int {
    ledger?.count ?? areas.reduce(0) { $0 + $1.count } - pendingCount
  }

  /// Buffers that this ring holds, also those that have come back and wait for the next call.
  package var heldCount: Int { capacity - areas.reduce(0) { $0 + $1.count } + pendingCount }

  /// Grows with each time that the kernel has got buffers which it can give to a waiting request.
  var generation: UInt64 { ledger?.generation ?? ownGeneration }

  private func advance() {
    ownGeneration += 1
    ledger?.advance()
  }

  /// What it has done so far.
  package var statistics: ZeroCopyStatistics {
    var all = counts
    (all.copyCount, all.copyByteCount) = refillRing.copies
    all.capacity = capacity
    all.count = count
    all.flushes = refillRing.flushCount
    return all
  }

  // MARK: Connections

  /// A new one, with a number of its own.
  func connect(_ socket: consuming OwnedFileDescriptor) -> ZeroCopyConnection {
    lastNumber += 1
    let connection = ZeroCopyConnection(number: lastNumber, socket: socket)
    connections[lastNumber] = connection
    return connection
  }

  /// Ends one, on any thread.
  func disconnect(_ connection: ZeroCopyConnection) {
    connection.hasEnded.store(true, ordering: .releasing)
    endedCount.wrappingAdd(1, ordering: .acquiringAndReleasing)
    // On another thread the next call of a receiver does it, or the end of this.
    if areas[0].isOwnedByCurrentThread { removeEnded() }
  }

  /// Takes out connections that have ended: their requests, which would keep the sockets open, and
  /// what came for them.
  private func removeEnded() {
    guard endedCount.load(ordering: .acquiring) > 0 else { return }
    for (number, connection) in connections
    where connection.hasEnded.load(ordering: .acquiring) {
      cancel(connection)
      while let arrival = popPending(connection) { _ = take(arrival.offset) }
      connections[number] = nil
      endedCount.wrappingSubtract(1, ordering: .acquiringAndReleasing)
    }
  }

  /// Ends the request of a connection. One that is about to go on is not found, and goes on until
  /// there is no more data, or no buffer for it: none is given back meanwhile.
  private func cancel(_ connection: ZeroCopyConnection) {
    for _ in 0..<Self.cancelAttempts where connection.isReceiving {
      try? handOut { () throws(Errno) in
        ring.cancel(userData: connection.number)
        // The kernel does its work in here.
        try ring.submit()
      }
      if ledger == nil { keepCompletions() }
    }
  }

  /// Submits what was prepared, and has the kernel do its work.
  func submit() throws(Errno) {
    try handOut { () throws(Errno) in try ring.submit() }
  }

  /// Waits until there is a completion.
  /// - Precondition: nothing is prepared that was not submitted.
  func waitForCompletion() throws(Errno) {
    guard ledger != nil else { return try ring.waitForCompletion() }
    // Whoever gives buffers back waits for those who are being handed some: not in that call.
    _ = try SystemProcess.waitUntilReadable(
      ring.descriptorNumber, milliseconds: Self.lookInterval)
    // Nobody tells of a ring that has died.
    _ = try inherit(isStarved: false)
    try submit()
  }

  /// A call in which the kernel may hand buffers out. Where others share the instance these are
  /// noted before anybody can take them for a dead ring's.
  private func handOut(_ call: () throws(Errno) -> Void) throws(Errno) {
    guard let ledger else { return try call() }
    try ledger.whileOpen { () throws(Errno) in
      defer { keepCompletions() }
      try call()
    }
  }

  private func keepCompletions() {
    while let completion = ring.popCompletion() {
      if completion.userData != Self.eventUserData && completion.result > 0 {
        ledger?.hold(areas[0].index(of: completion.offset))
      }
      if let (owner, arrival) = sort(completion) { keep(arrival, for: owner) }
    }
  }

  /// Milliseconds between looks for rings that have gone, where nothing comes.
  private static let lookInterval: Int32 = 1000

  /// More than there can be packets in a socket, by the 20 that one call takes.
  private static let cancelAttempts = 1000

  /// Prepares a receive for it.
  func prepareReceive(_ connection: ZeroCopyConnection) {
    ring.prepareZeroCopyReceive(
      connection.socket, into: refillRing, userData: connection.number)
    connection.isReceiving = true
    connection.statistics.requests += 1
  }

  // MARK: Completions

  /// The next bytes for `connection`; what is for others meanwhile is kept for them.
  func nextArrival(for connection: ZeroCopyConnection) -> ZeroCopyConnection.Arrival? {
    if let arrival = popPending(connection) { return arrival }
    while ledger == nil, let completion = ring.popCompletion() {
      guard let (owner, arrival) = sort(completion) else { continue }
      if owner === connection { return arrival }
      keep(arrival, for: owner)
    }
    return nil
  }

  private func keep(_ arrival: ZeroCopyConnection.Arrival, for owner: ZeroCopyConnection) {
    let area = Int(arrival.offset >> 48)
    guard area < areas.count, areas[area].wait(for: arrival.offset) else {
      return isDamaged = true
    }
    owner.appendPending(arrival)
    pendingCount += 1
  }

  private func popPending(_ connection: ZeroCopyConnection) -> ZeroCopyConnection.Arrival? {
    guard let arrival = connection.popPending() else { return nil }
    pendingCount -= 1
    areas[Int(arrival.offset >> 48)].stopWaiting(for: arrival.offset)
    return arrival
  }

  /// Notes what a completion says, and for whom it has bytes; nil where for nobody.
  private func sort(
    _ completion: URing.Completion
  ) -> (ZeroCopyConnection, ZeroCopyConnection.Arrival)? {
    guard completion.userData != Self.eventUserData else {
      note(event: UInt32(bitPattern: completion.result))
      return nil
    }
    guard let owner = connections[completion.userData] else {
      // Its receiver has ended: the buffer goes back with the next call.
      if completion.result > 0 { _ = take(completion.offset) }
      return nil
    }
    if !completion.isFollowed { owner.isReceiving = false }
    guard completion.result > 0 else {
      owner.note(
        end: Errno(rawValue: 0 - completion.result), generation: generation,
        canCopy: mapping == .cpu)
      return nil
    }
    return (
      owner,
      ZeroCopyConnection.Arrival(
        offset: completion.offset, byteCount: Int(completion.result))
    )
  }

  /// Takes the buffer out that a completion names. Nil where the kernel did not have it, which ends
  /// everything.
  func take(_ offset: UInt64) -> Netmem? {
    let area = Int(offset >> 48)
    if !isDamaged, area < areas.count, let netmem = areas[area].take(offset) { return netmem }
    isDamaged = true
    return nil
  }

  /// Where an offset lies in its buffer.
  func offsetInIOV(_ offset: UInt64) -> Int { Int(offset & UInt64(iovByteCount - 1)) }

  // MARK: Buffers

  /// Gives the kernel the buffers that have come back, and adds memory where there is too little.
  /// - Parameter isNeeded: whether the kernel should have all of them now.
  func replenish(isNeeded: Bool) throws(Errno) {
    removeEnded()
    if let ledger {
      try areas[0].refill(refillRing, ring, ledger)
    } else {
      for area in areas { try area.refill(refillRing, ring) }
    }
    // A card takes them out of the ring by itself. But what is copied, always without one, goes
    // into what was taken out before. Half of them: few system calls bring much back, and the
    // kernel always has the rest.
    let unflushed = refillRing.unflushedCount
    let isDue = isNeeded || !isOverCard && unflushed >= max(capacity / 2, 1)
    if unflushed > 0 && isDue { try flush() }
    grow()
  }

  private func flush() throws(Errno) {
    guard let ledger else {
      try refillRing.flush(ring)
      return advance()
    }
    try ledger.alone { () throws(Errno) in
      try refillRing.flush(ring)
      advance()
    }
  }

  /// Gives the kernel what rings had that have gone.
  /// - Parameter isStarved: whether it found none for a request.
  /// - Returns: whether it has got some.
  func inherit(isStarved: Bool) throws(Errno) -> Bool {
    guard let ledger else { return false }
    // Buffers that nobody holds, and that the kernel does not find: of one that died before it
    // could note them.
    let isLost = isStarved && !isOverCard && ledger.count > 0
    if !isLost {
      guard try ledger.hasDead() else { return false }
    }
    try areas[0].sweep(refillRing, ring, ledger)
    return true
  }

  /// Adds memory where the kernel has too little, as far as the policy goes. That it could not be
  /// added ends no stream: it is counted, and ``growthError`` says why.
  private func grow() {
    guard let growth else { return armAgain(lowWatermark: capacity / 4) }
    guard count < growth.lowWatermark || isPressed else {
      isGrowthPaused = false
      return armAgain(lowWatermark: growth.lowWatermark)
    }
    let step = growth.stepByteCount / iovByteCount
    repeat {
      guard !isGrowthPaused,
        (capacity + step) * iovByteCount <= growth.maximumByteCount
      else { break }
      do {
        try add(try growth.makeMemory(growth.stepByteCount))
        counts.growths += 1
        advance()
      } catch {
        counts.failedGrowths += 1
        growthError = error
        isGrowthPaused = true
      }
    } while count < growth.lowWatermark
    isPressed = false
  }

  private func add(_ memory: DMABuf) throws {
    let area = try ZeroCopyArea(memory, iovByteCount: iovByteCount, mapping: mapping)
    do throws(Errno) {
      area.token = try unsafe area.withDescription { description throws(Errno) in
        try unsafe refillRing.add(description, ring)
      }
    } catch {
      throw area.refusal(error)
    }
    precondition(Int(area.token >> 48) == areas.count, "the kernel numbers areas in turn")
    area.lendAll()
    areas.append(area)
  }

  // MARK: Events

  private func note(event: UInt32) {
    firedEvents.insert(event)
    if event == CURING_ZEROCOPY_EVENT_COPY {
      counts.copyEvents += 1
    } else {
      counts.allocationFailureEvents += 1
    }
    // Without a card the kernel copies all there is, which says nothing.
    if isOverCard || event != CURING_ZEROCOPY_EVENT_COPY { isPressed = true }
  }

  /// Where there is enough memory again, the next time that there is not will be told as well.
  private func armAgain(lowWatermark: Int) {
    guard !firedEvents.isEmpty, isOverCard, count >= lowWatermark else { return }
    // One that the kernel does not arm is one event less.
    try? rearm()
  }

  /// Has the kernel send events once more that have come (`ZCRX_CTRL_ARM_EVENT`).
  package func rearm() throws(URingError) {
    while let event = firedEvents.popFirst() {
      do throws(Errno) {
        try refillRing.arm(event, ring)
      } catch {
        throw .step("arming an event of zero-copy receive", error)
      }
    }
  }
}
