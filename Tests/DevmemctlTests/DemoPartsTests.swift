// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import devmemctl

@Suite("Parts of the demo")
struct DemoPartsTests {
  @Test("SHA-256 of \"abc\" and of nothing are those of FIPS 180-2")
  func sha256() {
    var hash = SHA256()
    unsafe [UInt8]("abc".utf8).withUnsafeBytes { unsafe hash.update($0) }
    #expect(
      hash.finalize().hexadecimal
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      SHA256().finalize().hexadecimal
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test("the generator's bytes depend on their position alone")
  func generator() throws {
    let reader = try DemoSource.generator(seed: 3).open()
    var whole = [UInt8](repeating: 0, count: 1000)
    try unsafe whole.withUnsafeMutableBytes { try unsafe reader.read(at: 0, into: $0) }
    var random = SeededGenerator(seed: 1)
    for _ in 0..<200 {
      let start = Int.random(in: 0..<1000, using: &random)
      let count = Int.random(in: 0...(1000 - start), using: &random)
      var part = [UInt8](repeating: 0, count: count)
      try unsafe part.withUnsafeMutableBytes { try unsafe reader.read(at: start, into: $0) }
      #expect(part == Array(whole[start..<start + count]))
    }
    #expect(Set(whole).count > 200)
  }

  @Test("reading a file past its end is an error, not zeros")
  func shortFile() throws {
    let reader = try DemoSource.file(path: "/proc/self/exe").open()
    var bytes = [UInt8](repeating: 0, count: 16)
    #expect(throws: CommandError.self) {
      try unsafe bytes.withUnsafeMutableBytes { try unsafe reader.read(at: 1 << 40, into: $0) }
    }
  }

  @Test("headers survive the wire, and other bytes are none")
  func header() {
    let header = DemoHeader(sequence: 5, offset: 1 << 40, payloadByteCount: 17)
    var bytes = [UInt8](repeating: 0xFF, count: 64)
    unsafe bytes.withUnsafeMutableBytes { unsafe header.store(into: $0) }
    func parsed(_ bytes: [UInt8]) -> DemoHeader? { unsafe DemoHeader(bytes.span.bytes) }
    #expect(parsed(bytes) == header)
    #expect(parsed(Array(bytes[..<63])) == nil)
    bytes[0] ^= 1
    #expect(parsed(bytes) == nil)
  }

  @Test(
    "slices cover a transfer in whole packets",
    arguments: [1, 65_536, (1 << 20) + 1, 16 << 20, (100 << 20) + 7, 1 << 30, (1 << 34) + 1])
  func slices(byteCount: Int) {
    let slices = DemoTimings.slices(byteCount: byteCount, payloadByteCount: 65_536)
    #expect((1...16).contains(slices.count))
    #expect(slices.first?.lowerBound == 0)
    #expect(slices.last?.upperBound == byteCount)
    for (slice, next) in zip(slices, slices.dropFirst()) {
      #expect(slice.upperBound == next.lowerBound)
      #expect(slice.count % 65_536 == 0)
      #expect(slice.count >= 16 << 20)
    }
  }

  @Test(
    "the dma-buf is as large as the transfer, in whole huge pages from 4 to 64 MiB",
    arguments: [(1, 4), (4 << 20, 4), ((4 << 20) + 1, 6), (64 << 20, 64), (1 << 40, 64)])
  func bufferSize(byteCount: Int, mebibytes: Int) {
    let options = DemoOptions(source: .generator(seed: 1), byteCount: byteCount)
    #expect(options.bufferByteCount == mebibytes << 20)
  }

  @Test("the ratio to malloc is the median of neighbours, so that one bad slice changes nothing")
  func ratio() {
    func slice(_ device: Int, _ malloc: Int) -> DemoTimings.Slice {
      DemoTimings.Slice(
        byteCount: 1000, device: .milliseconds(device), malloc: .milliseconds(malloc))
    }
    let timings = DemoTimings(slices: [slice(10, 10), slice(10, 12), slice(10, 900)])
    #expect(abs(timings.versusMalloc - 1.2) < 1e-9)
    #expect(abs(timings.throughput - 100_000) < 1e-3)
    #expect(DemoTimings().versusMalloc == 0)
    #expect(DemoTimings().throughput == 0)
  }

  @Test("JSON strings are escaped, numbers that JSON lacks are null")
  func json() {
    let value = JSONValue.object([
      ("a\"b\\c\n\u{1}é", .array([.integer(-1), .number(.infinity), .boolean(true), .null]))
    ])
    #expect(value.text == "{\"a\\\"b\\\\c\\n\\u0001é\":[-1,null,true,null]}")
  }

  @Test("the progress bar is empty at the start and full at the end")
  func bar() {
    func line(_ done: Int) -> String { ProgressBar.line(done: done, total: 10) }
    #expect(line(0).hasPrefix("[" + String(repeating: ".", count: 40)))
    #expect(line(5).contains("] 50 %"))
    #expect(line(10).hasPrefix("[" + String(repeating: "#", count: 40)))
  }
}
