// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemNIC
package import DevmemSystem
internal import Synchronization

/// A place in an instance of zero-copy receive that another ring is to share (`ZCRX_CTRL_EXPORT`),
/// in another thread or in another process: made by ``ZeroCopyInstance/export()``, and used up by
/// ``ZeroCopyInstance/init(importing:)``.
///
/// The instance lasts as long as a ring that has it, or a share on its way. Whose end comes when
/// makes no difference to the others.
///
/// Thread rules: one at a time, any thread.
package struct ZeroCopyShare: ~Copyable, Sendable {
  let exported: OwnedFileDescriptor
  let ledger: ZeroCopyLedger
  let refillFile: MemoryFile
  let memory: DMABuf
  /// Of the instance that it was made by, in the same process.
  let carving: DMABufCarving?
  let queue: (NetworkInterface, UInt32)?
  let isOutside: Flag

  /// Whether a share of an instance was sent to another process.
  final class Flag: Sendable {
    let value = Atomic<Bool>(false)
  }

  /// What travels with the descriptors: "zcrx", the place's number, whether there is a dma-buf.
  private static let messageByteCount = 6
  private static let mark: [UInt8] = [0x7A, 0x63, 0x72, 0x78]

  init(
    exported: consuming OwnedFileDescriptor, ledger: ZeroCopyLedger, refillFile: MemoryFile,
    memory: DMABuf, carving: DMABufCarving?, queue: (NetworkInterface, UInt32)?, isOutside: Flag
  ) {
    self.exported = exported
    self.ledger = ledger
    self.refillFile = refillFile
    self.memory = memory
    self.carving = carving
    self.queue = queue
    self.isOutside = isOutside
  }

  /// Sends it to another process (SCM_RIGHTS). If it does not arrive the place is free again.
  /// - Throws: ``URingError``: `.systemCall`.
  package consuming func send(over socket: UnixSocket) throws(URingError) {
    isOutside.value.store(true, ordering: .releasing)
    let message = Self.mark + [UInt8(ledger.number), memory.isExported ? 1 : 0]
    do throws(Errno) {
      try memory.withDescriptor { number throws(Errno) in
        _ = try socket.send(
          message,
          descriptors: [
            exported.rawValue, ledger.lockDescriptorNumber, refillFile.descriptor.rawValue, number,
          ])
      }
    } catch {
      throw .sharing(error)
    }
  }

  /// Takes it from another process, which has to be trusted: it can write to the memory that is
  /// received into, whatever is checked here.
  /// - Throws: ``URingError``: `.shareDamaged` for a message that is none, `.systemCall`,
  ///   `.descriptorLimit`; ``/Devmem/DevmemError`` where the memory cannot be imported.
  package static func receive(from socket: UnixSocket) throws -> ZeroCopyShare {
    let parts: Parts
    do throws(Errno) {
      var message = try socket.receive(byteLimit: messageByteCount, descriptorLimit: 4)
      guard message.bytes.count == messageByteCount, message.bytes.starts(with: mark),
        let exported = message.descriptors.popFirst(),
        let ledgerFile = message.descriptors.popFirst(),
        let refillFile = message.descriptors.popFirst(),
        let memory = message.descriptors.popFirst()
      else { throw .EUCLEAN }
      // The open file that has the lock is the one that came.
      let file = try MemoryFile(adopting: try ledgerFile.duplicate())
      let ledger = try ZeroCopyLedger(
        joining: file, as: Int(message.bytes[4]), LockFile(adopting: ledgerFile))
      let refill = try MemoryFile(adopting: refillFile)
      guard try refill.seals().contains(.shrink) else { throw .EUCLEAN }
      parts = Parts(
        exported: exported, ledger: ledger, refillFile: refill, memory: memory,
        isExported: message.bytes[5] != 0)
    } catch {
      throw URingError.sharing(error)
    }
    return try parts.whole()
  }
  /// What came over a socket.
  private struct Parts: ~Copyable {
    let exported: OwnedFileDescriptor
    let ledger: ZeroCopyLedger
    let refillFile: MemoryFile
    let memory: OwnedFileDescriptor
    let isExported: Bool

    consuming func whole() throws -> ZeroCopyShare {
      let memory = isExported ? try DMABuf.imported(memory) : try .importedMemoryFile(memory)
      let shape = ledger.shape
      guard memory.byteCount == shape.capacity * shape.iovByteCount else {
        throw URingError.sharing(.EUCLEAN)
      }
      let isOutside = Flag()
      isOutside.value.store(true, ordering: .relaxed)
      return ZeroCopyShare(
        exported: exported, ledger: ledger, refillFile: refillFile, memory: memory, carving: nil,
        queue: nil, isOutside: isOutside)
    }
  }
}
