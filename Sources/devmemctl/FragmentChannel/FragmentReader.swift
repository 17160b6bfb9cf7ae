// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

/// Reads batches of fragments, hashes them in order, and gives each back by its token: what the
/// importer process does with a dma-buf, and a thread with malloc'd memory for comparison.
final class FragmentReader<Memory: FragmentMemory> {
  let socket: UnixSocket
  let memory: Memory
  private var incoming = MessageBuffer()
  private var outgoing = MessageBuffer()
  private var hash = SHA256()

  init(socket: UnixSocket, memory: Memory) {
    self.socket = socket
    self.memory = memory
  }

  /// Serves batches until the other side says finish. Returns the SHA-256 of all bytes.
  func run() throws -> [UInt8] {
    while true {
      guard try incoming.receive(from: socket) else {
        throw CommandError("the demo went away in the middle of the transfer")
      }
      guard let header = incoming.header else {
        throw CommandError("a message on the importer's socket makes no sense")
      }
      switch header.message {
      case .batch? where incoming.holds(header.count, of: FragmentEntry.self):
        try serve(count: Int(header.count))
      case .finish?:
        var whole = SHA256()
        swap(&whole, &hash)
        return whole.finalize()
      default:
        throw CommandError("message \(header.kind) is not one for the importer")
      }
    }
  }

  private func serve(count: Int) throws {
    outgoing.begin()
    try unsafe memory.withAccess { bytes in
      for position in 0..<count {
        let entry = incoming.element(position, as: FragmentEntry.self)
        guard let bytes = unsafe bytes(entry.offset, Int(entry.byteCount)) else {
          throw CommandError(
            "a fragment of \(entry.byteCount) bytes at \(entry.offset) is outside the buffer")
        }
        unsafe hash.update(bytes)
        outgoing.append(entry.token)
      }
    }
    outgoing.finish(MessageHeader(.tokens, count: count))
    try outgoing.send(over: socket)
  }
}
