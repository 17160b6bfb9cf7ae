// SPDX-License-Identifier: Apache-2.0

import DevmemTestSupport
import Testing

@testable import Devmem

@Suite("Binding a buffer, on a bare memory file")
struct BindingTests {
  @Test(
    "index, offset, device address and CPU address agree, for every IOV size",
    arguments: [4096, 8192, 65536, 2 << 20])
  func arithmetic(iovByteCount: Int) throws {
    let buffer = try DMABuf.memoryFile(byteCount: 8 << 20)
    let binding = try DMABufBinding(buffer, iovByteCount: iovByteCount)
    #expect(binding.iovCount == 8 << 20 / iovByteCount)
    #expect(binding.unusableByteCount == 0)
    #expect(binding.chunkOwners.count == 1)
    for index in 0..<binding.iovCount {
      let offset = UInt64(index * iovByteCount)
      #expect(binding.offset(ofIOV: index) == offset)
      #expect(
        binding.deviceAddress(ofIOV: index) == DeviceAddress(offset, kind: .bufferOffset))
      #expect(binding.iovIndex(atOffset: offset) == index)
      #expect(binding.iovIndex(atOffset: offset + UInt64(iovByteCount) - 1) == index)
      #expect(binding.iovIndex(at: binding.deviceAddress(ofIOV: index)) == index)
    }
    #expect(binding.iovIndex(atOffset: 8 << 20) == nil)
    #expect(binding.iovIndex(at: DeviceAddress(0, kind: .physical)) == nil)
  }

  @Test("a netmem shows the same bytes as the buffer at its offset")
  func bytes() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufBinding(buffer)))
    let face = try #require(buffer.cpuFace)
    for _ in 0..<100 {
      var netmem = try pool.take()
      let offset = Int(netmem.offset)
      #expect(netmem.kind == .device)
      #expect(unsafe netmem.cpuAddress == face.baseAddress + offset)
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
        unsafe face.baseAddress.load(fromByteOffset: offset, as: UInt64.self) == UInt64(offset))
    }
  }

  @Test("the same buffer cannot be bound twice, and can be once the first binding is gone")
  func doubleBind() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    var binding: DMABufBinding? = try DMABufBinding(buffer)
    #expect(throws: DevmemError.self) { try DMABufBinding(buffer) }
    var pool: PagePool? = try PagePool(provider: DMABufMemoryProvider(try #require(binding)))
    let held = Held(try pool!.take())
    binding = nil
    pool = nil
    // The outstanding buffer keeps the binding, and so the claim.
    do throws(DevmemError) {
      _ = try DMABufBinding(buffer)
      Issue.record("bound twice")
    } catch {
      #expect(error.code == .alreadyBound)
    }
    held.with { #expect($0.byteCount == 4096) }
    held.drop()
    _ = try DMABufBinding(buffer)
  }

  @Test(
    "an IOV size that cannot be is refused and leaves no claim",
    arguments: [0, -4096, 1, 2048, 5000, 12288, 4 << 20])
  func badSize(iovByteCount: Int) throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    do throws(DevmemError) {
      _ = try DMABufBinding(buffer, iovByteCount: iovByteCount)
      Issue.record("bound")
    } catch {
      #expect(error.code == .invalidIOVByteCount)
    }
    _ = try DMABufBinding(buffer)
  }

  @Test("a buffer smaller than an IOV cannot be carved, and leaves no claim")
  func tooSmall() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 4096)
    do throws(DevmemError) {
      _ = try DMABufBinding(buffer, iovByteCount: 8192)
      Issue.record("bound")
    } catch {
      #expect(error.code == .cannotCarve)
    }
    _ = try DMABufBinding(buffer)
  }

  @Test("a binding that is refused leaves no descriptor, mapping or claim")
  func nothingLeft() async {
    await #expect(processExitsWith: .success) {
      let buffer = try DMABuf.memoryFile(byteCount: 4096)
      let before = (try ResourceCount.now(), MemoryRegistry.claimCount)
      for iovByteCount in [0, 5000, 8192, 4 << 20] {
        do {
          _ = try DMABufBinding(buffer, iovByteCount: iovByteCount)
          preconditionFailure("bound")
        } catch is DevmemError {}
        let after = (try ResourceCount.now(), MemoryRegistry.claimCount)
        precondition(after == before, "IOVs of \(iovByteCount): \(before) then \(after)")
      }
      do {
        let binding = try DMABufBinding(buffer)
        precondition(MemoryRegistry.claimCount == before.1 + 1)
        _ = consume binding
      }
      let after = (try ResourceCount.now(), MemoryRegistry.claimCount)
      precondition(after == before)
    }
  }

  @Test("an empty pool leaves an empty allocator: every IOV out, every IOV back")
  func emptyAgain() throws {
    let buffer = try DMABuf.memoryFile(byteCount: 1 << 20)
    let binding = try DMABufBinding(buffer)
    let pool = try PagePool(provider: DMABufMemoryProvider(binding))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    #expect(held.count == 256)
    #expect(binding.availableByteCount == 0 && binding.largestFreeRun == 0)
    held.removeAll()
    pool.close {}
    #expect(binding.availableByteCount == 1 << 20)
    #expect(binding.largestFreeRun == 1 << 20 && binding.fragmentation.ratio == 0)
  }
}
