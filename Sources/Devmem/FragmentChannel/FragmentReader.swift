// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// The other process's end of a ``FragmentLender``: gets the dma-buf, and then batch after batch of
/// fragments to read.
///
/// For one thread at a time; calls wait for the lender.
public struct FragmentReader: ~Copyable {
  /// The memory, imported: a dma-buf, or the bare memory file that stands in for one.
  public let buffer: DMABuf
  private var batches: FragmentBatches

  /// Waits for the dma-buf.
  ///
  /// - Parameter socket: connected to the lender, of kind `UnixSocket.Kind.sequencedPacket`.
  /// - Throws: ``DevmemError/Code/peerClosed``, ``DevmemError/Code/peerConfused``, and as
  ///   ``DMABuf/imported(_:)``; the lender is told.
  public init(over socket: UnixSocket) throws(DevmemError) {
    batches = FragmentBatches(socket: socket)
    do throws(DevmemError) {
      buffer = try batches.receiveBuffer()
    } catch {
      batches.fail("\(error)")
      throw error
    }
  }

  /// Waits for the next batch, lets `body` see each of its fragments in order inside one bracket
  /// for reading, and gives all of them back.
  ///
  /// - Parameter body: sees the bytes during the call. What it throws is thrown, and the batch
  ///   stays with the reader.
  /// - Returns: false once the lender has no more: ``finish(_:)``.
  /// - Throws: ``DevmemError/Code/peerClosed``; ``DevmemError/Code/peerConfused``, also for a
  ///   fragment outside the buffer; ``DevmemError/Code/unreadable``.
  public mutating func readBatch(_ body: (RawSpan) throws -> Void) throws -> Bool {
    guard let count = try batches.next() else { return false }
    try buffer.withBytes(.read) { bytes in
      for position in 0..<count {
        let entry = batches.entry(position)
        guard Int(entry.byteCount) <= bytes.count,
          entry.offset <= UInt64(bytes.count - Int(entry.byteCount))
        else {
          throw FragmentBatches.confused(
            "a fragment of \(entry.byteCount) bytes at \(entry.offset) is outside the buffer")
        }
        let start = Int(entry.offset)
        let fragment = unsafe bytes[start..<start + Int(entry.byteCount)]
        try unsafe body(
          RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: fragment)))
      }
    }
    try batches.sendTokens()
    return true
  }

  /// Tells the lender what became of it: what its ``FragmentLender/finish()`` returns.
  ///
  /// - Parameter answer: at most 24,576 bytes.
  /// - Throws: ``DevmemError/Code/peerClosed``.
  public mutating func finish(_ answer: [UInt8]) throws(DevmemError) {
    precondition(answer.count <= 24_576, "the answer is too long")
    try batches.finish(answer)
  }

  /// Tells the lender that this reader has failed, and why: its next call throws
  /// ``DevmemError/Code/peerFailed``.
  public mutating func fail(_ reason: String) { batches.fail(reason) }
}

/// Batches of fragments as they come from a ``FragmentChannel``, whatever memory they lie in.
package struct FragmentBatches: ~Copyable {
  private let socket: UnixSocket
  private var incoming = MessageBuffer()
  private var outgoing = MessageBuffer()
  private var count = 0

  package init(socket: UnixSocket) { self.socket = socket }

  /// Waits for the descriptor of the memory.
  fileprivate mutating func receiveBuffer() throws(DevmemError) -> DMABuf {
    let descriptor: OwnedFileDescriptor?
    do throws(Errno) {
      descriptor = try incoming.receiveWithDescriptor(from: socket)
    } catch {
      throw .step(Self.operation, error)
    }
    guard incoming.byteCount > 0 else { throw Self.ended }
    guard let header = incoming.header, header.message == .hello else {
      throw Self.confused("the first message is not a lender's")
    }
    guard let descriptor else { throw Self.confused("the lender sent no descriptor") }
    let buffer =
      header.flag == 1
      ? try DMABuf.imported(descriptor) : try DMABuf.importedMemoryFile(descriptor)
    outgoing.begin()
    try send(MessageHeader(.ready, count: 0))
    return buffer
  }

  /// Waits for a batch.
  ///
  /// - Returns: its fragments' count; nil once the lender has no more.
  package mutating func next() throws(DevmemError) -> Int? {
    count = 0
    do throws(Errno) {
      guard try incoming.receive(from: socket) else { throw .ECONNRESET }
    } catch {
      if error == .ECONNRESET { throw Self.ended }
      throw .step(Self.operation, error)
    }
    switch incoming.header?.message {
    case .batch? where incoming.holds(incoming.header!.count, of: FragmentEntry.self):
      count = Int(incoming.header!.count)
      return count
    case .finish?: return nil
    default: throw Self.confused("a message from the lender makes no sense")
    }
  }

  /// A fragment of the batch.
  package func entry(_ position: Int) -> FragmentEntry {
    incoming.element(position, as: FragmentEntry.self)
  }

  /// Gives all fragments of the batch back.
  package mutating func sendTokens() throws(DevmemError) {
    outgoing.begin()
    for position in 0..<count { outgoing.append(entry(position).token) }
    try send(MessageHeader(.tokens, count: count))
    count = 0
  }

  fileprivate mutating func finish(_ answer: [UInt8]) throws(DevmemError) {
    outgoing.begin()
    outgoing.append(contentsOf: answer)
    try send(MessageHeader(.answer, count: answer.count))
  }

  fileprivate mutating func fail(_ reason: String) {
    outgoing.begin()
    outgoing.append(contentsOf: reason.utf8.prefix(4096))
    // Whom it does not reach any more has no use for it.
    try? send(MessageHeader(.failure, count: outgoing.byteCount - MessageHeader.byteCount))
  }

  private mutating func send(_ header: MessageHeader) throws(DevmemError) {
    outgoing.finish(header)
    do throws(Errno) {
      try outgoing.send(over: socket)
    } catch {
      throw .step(Self.operation, error)
    }
  }

  private static let operation = "reading another process's fragments"

  static func confused(_ cause: String) -> DevmemError {
    DevmemError(.peerConfused, operation, cause: cause)
  }

  private static var ended: DevmemError {
    DevmemError(
      .peerClosed, operation, cause: "the lender went away in the middle of the transfer")
  }
}
