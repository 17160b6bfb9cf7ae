// SPDX-License-Identifier: Apache-2.0

import DevmemGenpool
import DevmemTestSupport
import Testing

@testable import Devmem

@Suite("Carving a buffer, on a bare memory file")
struct BindingTests {
  @Test(
    "index, offset, device address and CPU address agree, for every IOV size",
    arguments: [4096, 8192, 65536, 2 << 20])
  func arithmetic(iovByteCount: Int) throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8 << 20)
    let carving = try DMABufCarving(buffer, iovByteCount: iovByteCount)
    #expect(carving.iovCount == 8 << 20 / iovByteCount)
    #expect(carving.unusableByteCount == 0)
    #expect(carving.chunkOwners.count == 1)
    for index in 0..<carving.iovCount {
      let offset = UInt64(index * iovByteCount)
      #expect(carving.offset(ofIOV: index) == offset)
      #expect(
        carving.deviceAddress(ofIOV: index) == DeviceAddress(offset, kind: .bufferOffset))
      #expect(carving.iovIndex(atOffset: offset) == index)
      #expect(carving.iovIndex(atOffset: offset + UInt64(iovByteCount) - 1) == index)
      #expect(carving.iovIndex(at: carving.deviceAddress(ofIOV: index)) == index)
    }
    #expect(carving.iovIndex(atOffset: 8 << 20) == nil)
    #expect(carving.iovIndex(at: DeviceAddress(0, kind: .physical)) == nil)
  }

  @Test("a netmem shows the same bytes as the buffer at its offset")
  func bytes() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    let mapping = try #require(buffer.cpuMapping)
    for _ in 0..<100 {
      var netmem = try pool.take()
      let offset = Int(netmem.offset)
      #expect(netmem.kind == .device)
      #expect(unsafe netmem.cpuAddress == mapping.baseAddress + offset)
      #expect(throws: NetmemError.unreadable(.outsideCPUAccess)) { try netmem.withBytes { _ in } }
      try buffer.withCPUAccess(.write) {
        try netmem.withMutableBytes { $0.storeBytes(of: UInt64(offset), as: UInt64.self) }
      }
      try buffer.withCPUAccess(.read) {
        try netmem.withBytes {
          #expect(unsafe $0.unsafeLoad(as: UInt64.self) == UInt64(offset))
        }
      }
      #expect(
        unsafe mapping.baseAddress.load(fromByteOffset: offset, as: UInt64.self) == UInt64(offset))
    }
  }

  @Test("the same buffer cannot be bound twice, and can be once the first carving is gone")
  func doubleBind() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    var carving: DMABufCarving? = try DMABufCarving(buffer)
    #expect(throws: DevmemError.self) { try DMABufCarving(buffer) }
    var pool: PagePool? = try PagePool(provider: DMABufMemoryProvider(try #require(carving)))
    let held = Held(try pool!.take())
    carving = nil
    pool = nil
    // The outstanding buffer keeps the carving, and so the claim.
    do throws(DevmemError) {
      _ = try DMABufCarving(buffer)
      Issue.record("bound twice")
    } catch {
      #expect(error.code == .alreadyBound)
    }
    held.with { #expect($0.byteCount == 4096) }
    held.drop()
    _ = try DMABufCarving(buffer)
  }

  @Test(
    "an IOV size that cannot be is refused and leaves no claim",
    arguments: [0, -4096, 1, 2048, 5000, 12288, 4 << 20])
  func badSize(iovByteCount: Int) throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    do throws(DevmemError) {
      _ = try DMABufCarving(buffer, iovByteCount: iovByteCount)
      Issue.record("bound")
    } catch {
      #expect(error.code == .invalidIOVByteCount)
    }
    _ = try DMABufCarving(buffer)
  }

  @Test("a buffer smaller than an IOV cannot be carved, and leaves no claim")
  func tooSmall() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    do throws(DevmemError) {
      _ = try DMABufCarving(buffer, iovByteCount: 8192)
      Issue.record("bound")
    } catch {
      #expect(error.code == .cannotCarve)
    }
    _ = try DMABufCarving(buffer)
  }

  @Test("a carving that is refused leaves no descriptor, mapping or claim")
  func nothingLeft() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.memoryFile(byteCount: 4096)
      let before = (try ResourceCount.now(), MemoryRegistry.claimCount)
      for iovByteCount in [0, 5000, 8192, 4 << 20] {
        do {
          _ = try DMABufCarving(buffer, iovByteCount: iovByteCount)
          preconditionFailure("bound")
        } catch is DevmemError {}
        let after = (try ResourceCount.now(), MemoryRegistry.claimCount)
        precondition(after == before, "IOVs of \(iovByteCount): \(before) then \(after)")
      }
      do {
        let carving = try DMABufCarving(buffer)
        precondition(MemoryRegistry.claimCount == before.1 + 1)
        _ = consume carving
      }
      let after = (try ResourceCount.now(), MemoryRegistry.claimCount)
      precondition(after == before)
    }
  }

  @Test("an empty pool leaves an empty allocator: every IOV out, every IOV back")
  func emptyAgain() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    let carving = try DMABufCarving(buffer)
    let pool = try PagePool(provider: DMABufMemoryProvider(carving))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    #expect(held.count == 256)
    #expect(carving.availableByteCount == 0 && carving.largestFreeRun == 0)
    held.removeAll()
    pool.close {}
    #expect(carving.availableByteCount == 1 << 20)
    #expect(carving.largestFreeRun == 1 << 20 && carving.fragmentation.ratio == 0)
  }
}
