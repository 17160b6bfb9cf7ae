// SPDX-License-Identifier: Apache-2.0

import DevmemPagePool
import DevmemTestSupport
import Testing

@Suite("Touching the bytes")
struct BytesTests {
  @Test("host memory can be written and read back")
  func host() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 2))
    var a = try pool.take()
    var b = try pool.take()
    #expect(a.isReadable == true)
    try a.withMutableBytes { bytes in
      for index in 0..<bytes.byteCount {
        bytes.storeBytes(of: 0xAA, toByteOffset: index, as: UInt8.self)
      }
    }
    try b.withMutableBytes { bytes in
      for index in 0..<bytes.byteCount {
        bytes.storeBytes(of: 0x55, toByteOffset: index, as: UInt8.self)
      }
    }
    try a.withBytes { bytes in
      #expect(bytes.byteCount == 4096)
      for index in 0..<bytes.byteCount {
        #expect(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) == 0xAA)
      }
    }
  }

  @Test("device memory without a CPU mapping is unreadable")
  func noFace() throws {
    let pool = try PagePool(
      provider: ListProvider(iovCount: 1, kind: .device, hasCPUMapping: false))
    var netmem = try pool.take()
    #expect(netmem.isReadable == false)
    #expect(unsafe netmem.cpuAddress == nil)
    #expect(throws: NetmemError.unreadable(.noCPUMapping)) { try netmem.withBytes { _ in } }
    #expect(throws: NetmemError.unreadable(.noCPUMapping)) { try netmem.withMutableBytes { _ in } }
  }

  @Test("device memory with a CPU mapping is readable inside a bracket of the right kind only")
  func brackets() throws {
    let provider = try ListProvider(iovCount: 1, kind: .device)
    let pool = try PagePool(provider: provider)
    var netmem = try pool.take()
    #expect(throws: NetmemError.unreadable(.outsideCPUAccess)) { try netmem.withBytes { _ in } }
    provider.setAccess(readers: 1, writers: 0)
    #expect(netmem.isReadable == true)
    try netmem.withBytes { #expect($0.byteCount == 4096) }
    #expect(throws: NetmemError.unreadable(.outsideCPUAccess)) {
      try netmem.withMutableBytes { _ in }
    }
    provider.setAccess(readers: 0, writers: 1)
    try netmem.withMutableBytes { #expect($0.byteCount == 4096) }
    #expect(throws: NetmemError.unreadable(.outsideCPUAccess)) { try netmem.withBytes { _ in } }
  }

  @Test("bytes that somebody else has a handle to cannot be written, until that one has ended")
  func shared() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 2))
    var netmem = try pool.take()
    do {
      var other = netmem.share()
      #expect(throws: NetmemError.unreadable(.shared)) { try netmem.withMutableBytes { _ in } }
      #expect(throws: NetmemError.unreadable(.shared)) { try other.withMutableBytes { _ in } }
      try netmem.withBytes { _ in try other.withBytes { _ in } }
    }
    try netmem.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
    let token = netmem.share().detach()
    #expect(throws: NetmemError.unreadable(.shared)) { try netmem.withMutableBytes { _ in } }
    _ = try pool.reclaim(token)
    try netmem.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
    var fragment = pool.allocateFragment(byteCount: 64)!
    try fragment.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
    var second = fragment.share()
    #expect(throws: NetmemError.unreadable(.shared)) { try fragment.withMutableBytes { _ in } }
    #expect(throws: NetmemError.unreadable(.shared)) { try second.withMutableBytes { _ in } }
  }

  @Test("what the body throws comes through")
  func bodyError() throws {
    struct Mine: Error {}
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    let netmem = try pool.take()
    #expect(throws: Mine.self) { try netmem.withBytes { _ in throw Mine() } }
  }

  @Test("integers are read at any offset, up to the last byte")
  func integers() throws {
    let pool = try PagePool(provider: ListProvider(iovCount: 1))
    var netmem = try pool.take()
    try netmem.withMutableBytes { bytes in
      for offset in 0..<256 {
        bytes.storeBytes(of: UInt8(offset), toByteOffset: offset, as: UInt8.self)
      }
      bytes.storeBytes(of: UInt8(0xFF), toByteOffset: 4095, as: UInt8.self)
    }
    try netmem.withBytes { bytes in
      #expect(bytes.integer(at: 0, as: UInt8.self) == 0)
      #expect(bytes.integer(at: 3, as: UInt16.self).littleEndian == 0x0403)
      #expect(bytes.integer(at: 1, as: UInt64.self).littleEndian == 0x0807_0605_0403_0201)
      #expect(bytes.integer(at: 4095, as: Int8.self) == -1)
    }
  }

  @Test("an integer that is not all inside traps", arguments: [-1, 4093, 4096, Int.max])
  func integerOutside(offset: Int) async {
    await #expect(processExitsWith: .failure) { [offset] in
      let pool = try PagePool(provider: ListProvider(iovCount: 1))
      let netmem = try pool.take()
      try netmem.withBytes { _ = $0.integer(at: offset, as: UInt32.self) }
    }
  }
}
