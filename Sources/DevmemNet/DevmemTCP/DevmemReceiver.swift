// SPDX-License-Identifier: Apache-2.0

public import Devmem
public import DevmemNIC
public import DevmemSystem

/// Receives by the kernel's device memory TCP: the network card writes payload straight into the
/// dma-buf that is bound to its receive queue, headers into host memory, and no CPU touches the
/// payload (Documentation/networking/devmem.rst; `tcp_recvmsg_dmabuf`, net/ipv4/tcp.c).
///
/// A packet is what one call found: fragments in the dma-buf
/// (``PayloadFragment/Placement/device``), and, where the card did not split or the flow did not
/// come by a bound queue, fragments in host buffers (``PayloadFragment/Placement/linear``), in
/// stream order. The flow has to be steered to the binding's queues before its first byte; a plain
/// flow is received as well, all of it linear.
///
/// Each device fragment owes the kernel a token, ``tokensOwed`` of them at most
/// ``Configuration/tokenLimit``. A fragment may end on any thread, in any order, at any time: its
/// token then goes back in a batch, at the latest at the next call of ``receive(into:)`` or
/// ``flush()``, at once while the receiver waits for data.
///
/// A fragment may outlive its receiver and its binding. Its bytes stay as they are: the socket
/// stays open until the last fragment has ended, although the connection ends with the receiver, in
/// both directions.
///
/// Costs of a packet: one `recvmsg`, two if it had to wait; one `setsockopt` for 64 to 1024
/// fragments that have ended. No memory is allocated.
///
/// Thread rules: it may move between threads, but allocates from the pool of host buffers: call
/// ``receive(into:)`` on the thread that owns it.
public struct DevmemReceiver: ~Copyable, PacketReceiver {
  let returns: TokenReturns
  /// The id of the binding whose memory this is.
  package let bindingID: UInt32
  /// Fragments that may be owed.
  package let tokenLimit: Int
  /// Kept bound as long as the receiver lives; nil where somebody else keeps it.
  private let binding: NetdevBinding?
  /// Fragments that one call can bring.
  let fragmentRoom: Int
  var control: DMABufControl
  var window: LinearWindow
  var counts = Statistics()
  /// What ended the stream; every later call throws it again.
  var failure: DevmemError?

  deinit { returns.orphan() }

  /// A receiver on a connected TCP socket.
  /// - Parameters:
  ///   - stream: the socket, blocking or not, whose flow is steered to the binding's queues
  ///     (`NICSetup`). Closed after the receiver and its last fragment.
  ///   - binding: the memory, bound for receiving; kept as long as the receiver.
  ///   - linear: a pool of host memory for bytes that do not come in device memory.
  ///   - configuration: how much to take at once and to hold.
  /// - Throws: ``DevmemError``: `.notTCP`, `.kernelUnsupported`, `.wrongDirection`,
  ///   `.invalidConfiguration`.
  public init(
    stream: consuming OwnedFileDescriptor, binding: NetdevBinding, linear: PagePool,
    configuration: Configuration = Configuration()
  ) throws(DevmemError) {
    guard case .receive = binding.direction else {
      throw DevmemError(
        .wrongDirection, "receiving into dma-buf \(binding.id)",
        remedy: "The memory is bound for sending: bind it with NetdevBinding.receive.")
    }
    try self.init(
      stream: stream, bindingID: binding.id, buffer: binding.buffer, binding: binding,
      linear: linear, configuration: configuration)
  }

  /// A receiver over a binding that somebody else keeps, e.g. another process.
  /// - Parameters:
  ///   - bindingID: its id.
  ///   - buffer: the memory that is bound, here perhaps an imported dma-buf.
  /// - Throws: as ``init(stream:binding:linear:configuration:)``.
  public init(
    stream: consuming OwnedFileDescriptor, bindingID: UInt32, buffer: DMABuf, linear: PagePool,
    configuration: Configuration = Configuration()
  ) throws(DevmemError) {
    try self.init(
      stream: stream, bindingID: bindingID, buffer: buffer, binding: nil, linear: linear,
      configuration: configuration)
  }

  private init(
    stream: consuming OwnedFileDescriptor, bindingID: UInt32, buffer: DMABuf,
    binding: NetdevBinding?, linear: PagePool, configuration: Configuration
  ) throws(DevmemError) {
    do throws(Errno) {
      // No token at all: says whether the kernel would take some of this socket.
      let nothing = DMABufTokenRange(first: 0, count: 0)
      _ = try unsafe withUnsafePointer(to: nothing) { (pointer) throws(Errno) in
        try unsafe stream.returnDevmemTokens(UnsafeBufferPointer(start: pointer, count: 1))
      }
    } catch {
      throw .probing(error)
    }
    try self.init(
      unchecked: stream, bindingID: bindingID, buffer: buffer, binding: binding, linear: linear,
      configuration: configuration)
  }

  /// Without asking the kernel whether it knows device memory TCP: a plain flow works without.
  init(
    unchecked stream: consuming OwnedFileDescriptor, bindingID: UInt32, buffer: DMABuf?,
    binding: NetdevBinding?, linear: PagePool, configuration: Configuration
  ) throws(DevmemError) {
    try DevmemError.check("fragmentLimit", configuration.fragmentLimit, in: 1...1 << 16)
    // More buffers than one system call takes cannot be posted.
    try DevmemError.check(
      "byteLimit", configuration.byteLimit, in: 1...VectorList.limit * linear.iovByteCount)
    let limit =
      configuration.tokenLimit
      ?? min(max(1, (buffer?.byteCount ?? 0) / Self.pageByteCount / 2), Self.tokenLimit)
    try DevmemError.check("tokenLimit", limit, in: 1...Self.tokenLimit)
    let bufferCount = LinearWindow.bufferCount(linear, configuration.byteLimit)
    self.bindingID = bindingID
    self.binding = binding
    tokenLimit = limit
    returns = TokenReturns(
      socket: stream, buffer: buffer, memory: binding?.boundMemory, limit: limit)
    control = DMABufControl(capacity: configuration.fragmentLimit)
    window = LinearWindow(pool: linear, byteCount: configuration.byteLimit)
    // A linear message ends in the middle of a buffer, so that it can have one fragment more.
    fragmentRoom = configuration.fragmentLimit + bufferCount
  }

  /// Tokens that a receiver keeps room for at most: those of 64 GiB of receive buffers.
  private static let tokenLimit = 1 << 24

  /// A receive buffer of the card is at least a page.
  private static let pageByteCount = PageSize.base4K.byteCount

  /// An empty packet with room for whatever one call receives.
  public func makePacket() -> Packet { Packet(fragmentCapacity: fragmentRoom) }

  /// The socket's number, for polling and socket options.
  public var descriptorNumber: Int32 { returns.socket.rawValue }

  /// Waits until there is something to receive, or the end (`poll(2)`).
  /// - Parameter milliseconds: -1 waits for ever.
  /// - Returns: false after the time.
  public func wait(milliseconds: Int32) throws(DevmemError) -> Bool {
    do {
      return try returns.socket.wait(for: .readable, milliseconds: milliseconds)
    } catch {
      throw .receiving(bindingID, error)
    }
  }

  // MARK: Tokens

  /// Fragments that the kernel has given out and not got back: held by somebody, or with their
  /// token on its way.
  public var tokensOwed: Int { returns.owed }

  /// Of those, the ones that have ended and whose token waits for company.
  public var tokensWaiting: Int { returns.waitingCount }

  /// Returns the tokens of all fragments that have ended. Waits for no fragment.
  /// - Returns: how many tokens the kernel has taken back by this call.
  /// - Throws: ``DevmemError/Code/tokensRefused`` if the kernel did not know some of them, which
  ///   means that somebody else returns tokens of this socket; `.systemCall` if it refused: the
  ///   tokens are kept and tried again by the next call.
  @discardableResult
  public func flush() throws(DevmemError) -> Int {
    let operation = "returning tokens of dma-buf \(bindingID)"
    let result: (freed: Int, unknown: Int)
    do {
      result = try returns.returnAll()
    } catch {
      throw .step(operation, error)
    }
    guard result.unknown == 0 else {
      throw DevmemError(
        .tokensRefused, operation,
        remedy: "The kernel did not know \(result.unknown) tokens: somebody else returns tokens of"
          + " this socket.")
    }
    return result.freed
  }

  /// What the receiver has done so far.
  public var statistics: Statistics {
    var all = counts
    let tokens = returns.counts
    all.tokensReturned = tokens.freed
    all.tokensUnknown = tokens.unknown
    all.tokenCalls = tokens.calls
    all.failedTokenCalls = tokens.failedCalls
    return all
  }
}
