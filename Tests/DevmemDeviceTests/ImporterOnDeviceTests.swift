// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Foundation
import Testing

@testable import devmemctl

/// The importer process by itself: the test plays the demo and speaks the protocol by hand.
@Suite("importer process on a real dma-buf")
struct ImporterOnDeviceTests {
  /// A running importer that has got `buffer`, and our end of its socket.
  private func start(
    _ buffer: DMABuf
  ) throws -> (process: DevmemctlProcess, socket: UnixSocket) {
    let (near, far) = try UnixSocket.pair()
    let process = try DevmemctlProcess(
      ["importer", "--socket", "0"],
      standardInput: FileHandle(
        fileDescriptor: far.descriptor.duplicate().release(), closeOnDealloc: true))
    // magic "dvm1", kind 1 (hello), count = pages, flag 1 (a dma-buf).
    try buffer.sendDescriptor(
      over: near, message: words([0x316D_7664, 1, UInt32(buffer.byteCount >> 12), 1]))
    #expect(try receive(near).prefix(2) == [0x316D_7664, 2])
    return (process, near)
  }

  @Test("it reads through the dma-buf what was written to the memory file, and returns the tokens")
  func readsAndReturns() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 64 << 10)
    var random = SeededGenerator(seed: 21)
    let content = (0..<buffer.byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
    try buffer.withBytes(.write) { unsafe $0.copyBytes(from: content) }
    let (process, socket) = try start(buffer)

    var hash = SHA256()
    var batch: [UInt32] = [0x316D_7664, 3, 3, 0]
    let fragments: [(token: UInt32, offset: Int, count: Int)] = [
      (11, 8192, 4096), (7, 0, 1), (9, buffer.byteCount - 5, 5),
    ]
    for fragment in fragments {
      unsafe content[fragment.offset..<fragment.offset + fragment.count].withUnsafeBytes {
        unsafe hash.update($0)
      }
      batch += [
        fragment.token, 0xABCD, UInt32(fragment.offset), 0, UInt32(fragment.count), 0,
      ]
    }
    try socket.send(words(batch))
    #expect(
      try receive(socket) == [0x316D_7664, 4, 3, 0, 11, 0xABCD, 7, 0xABCD, 9, 0xABCD])

    try socket.send(words([0x316D_7664, 5, 0, 0]))
    let result = try receiveBytes(socket)
    #expect(Array(result[4..<8]) == words([6]))
    let digest = hash.finalize()
    #expect(Array(result[16..<48]) == digest)
    #expect(String(decoding: result[48...], as: UTF8.self) == "ok")
    #expect(try process.wait().status == 0)
  }

  @Test("a fragment outside the buffer is refused with a reason")
  func outside() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    let (process, socket) = try start(buffer)
    try socket.send(words([0x316D_7664, 3, 1, 0, 1, 0, 4095, 0, 2, 0]))
    let answer = try receiveBytes(socket)
    #expect(Array(answer[4..<8]) == words([7]))
    #expect(String(decoding: answer[16...], as: UTF8.self).contains("outside the buffer"))
    #expect(try process.wait().status == 1)
  }

  @Test("a descriptor that is no dma-buf is refused")
  func noDMABuf() throws {
    let (near, far) = try UnixSocket.pair()
    let process = try DevmemctlProcess(
      ["importer", "--socket", "0"],
      standardInput: FileHandle(
        fileDescriptor: far.descriptor.duplicate().release(), closeOnDealloc: true))
    let file = try MemoryFile(name: "no-dma-buf", byteCount: 4096)
    try near.send(words([0x316D_7664, 1, 1, 1]), descriptors: [file.descriptor.rawValue])
    let answer = try receiveBytes(near)
    #expect(String(decoding: answer[16...], as: UTF8.self).contains("notADMABuf"))
    #expect(try process.wait().status == 1)
  }

  private func receiveBytes(_ socket: UnixSocket) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = try unsafe buffer.withUnsafeMutableBytes { try socket.receive(into: $0).byteCount }
    return Array(buffer[..<count])
  }

  private func receive(_ socket: UnixSocket) throws -> [UInt32] {
    let bytes = try receiveBytes(socket)
    return stride(from: 0, to: bytes.count, by: 4).map { start in
      (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << UInt32($1 * 8) }
    }
  }

  private func words(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
  }
}
