// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemGenpool
import DevmemSystem
import DevmemTestSupport
import Testing

/// The layers together on a real dma-buf: carving, allocator, pool, handles.
@Suite("Pools on a real udmabuf")
struct PoolOnDeviceTests {
  /// Fills every IOV through the pool's handles and reads it through the dma-buf's own mapping.
  private func fillAndCompare(
    _ buffer: DMABuf, iovByteCount: Int, addressing: DMABufCarving.Addressing = .automatic
  ) throws {
    let carving = try DMABufCarving(buffer, iovByteCount: iovByteCount, addressing: addressing)
    let pool = try PagePool(provider: DMABufMemoryProvider(carving))
    var held: [Held] = []
    while let netmem = pool.allocate() { held.append(Held(netmem)) }
    #expect(held.count == carving.iovCount)
    #expect(carving.iovCount * iovByteCount + carving.unusableByteCount == buffer.byteCount)
    try buffer.withCPUAccess(.write) {
      for box in held {
        try box.withMutable { netmem in
          let offset = netmem.offset
          try netmem.withMutableBytes { bytes in
            for position in stride(from: 0, to: bytes.byteCount, by: 8) {
              bytes.storeBytes(
                of: offset &+ UInt64(position), toByteOffset: position, as: UInt64.self)
            }
          }
        }
      }
    }
    let device = try DMABuf.imported(buffer.duplicateDescriptor())
    #expect(device.identity == buffer.identity)
    let mismatches = try device.withBytes(.read) { bytes in
      var mismatches = 0
      for box in held {
        let offset = box.with { Int($0.offset) }
        for position in stride(from: offset, to: offset + iovByteCount, by: 8)
        where unsafe bytes.load(fromByteOffset: position, as: UInt64.self) != UInt64(position) {
          mismatches += 1
        }
      }
      return mismatches
    }
    #expect(mismatches == 0)
    held.removeAll()
    pool.close {}
    #expect(carving.genpool.isEmpty)
  }

  @Test(
    "every byte written through the pool is there on the device's mapping",
    arguments: [4096, 65536])
  func basePages(iovByteCount: Int) throws {
    try fillAndCompare(
      .udmabuf(byteCount: 4 << 20), iovByteCount: iovByteCount, addressing: .bufferOffset)
  }

  @Test("the same with physical addresses")
  func basePagesPhysical() throws {
    try fillAndCompare(.udmabuf(byteCount: 4 << 20), iovByteCount: 4096)
  }

  @Test(
    "ragged physical memory is carved as far as it goes, and what is left over is reported",
    arguments: [8192, 16384, 65536])
  func ragged(iovByteCount: Int) throws {
    let buffer = try DMABuf.udmabuf(byteCount: 16 << 20)
    let expected = try buffer.extents.reduce(0) { count, extent in
      let start = extent.address!.rawValue
      let size = UInt64(iovByteCount)
      let first = (start + size - 1) / size
      let end = (start + UInt64(extent.byteCount)) / size
      return count + (end > first ? Int(end - first) : 0)
    }
    do throws(DevmemError) {
      let carving = try DMABufCarving(buffer, iovByteCount: iovByteCount)
      #expect(carving.iovCount == expected)
      #expect(carving.unusableByteCount == buffer.byteCount - expected * iovByteCount)
    } catch {
      #expect(error.code == .cannotCarve)
      #expect(expected == 0)
    }
  }

  @Test("the same with 2 MiB pages", arguments: [4096, 65536, 2 << 20])
  func hugePages(iovByteCount: Int) throws {
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20, pageSize: .huge2M)
    try fillAndCompare(buffer, iovByteCount: iovByteCount)
  }

  @Test("the same on a dma-heap buffer", arguments: [4096])
  func heap(iovByteCount: Int) throws {
    try fillAndCompare(.dmaHeap(byteCount: 4 << 20), iovByteCount: iovByteCount)
  }

  @Test(
    "with root's eyes, device addresses are physical, aligned, and contiguous in each chunk owner")
  func physicalAddresses() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 16 << 20)
    let carving = try DMABufCarving(buffer)
    let extents = try buffer.extents
    #expect(extents.reduce(0) { $0 + $1.byteCount } == buffer.byteCount)
    var seen: Set<UInt64> = []
    for index in 0..<carving.iovCount {
      let address = carving.deviceAddress(ofIOV: index)
      #expect(address.kind == .physical)
      #expect(address.rawValue % 4096 == 0)
      #expect(seen.insert(address.rawValue).inserted)
      #expect(carving.iovIndex(at: address) == index)
      #expect(carving.iovIndex(atOffset: carving.offset(ofIOV: index) + 4095) == index)
      let owner = carving.chunkOwner(ofIOV: index)
      #expect((owner.firstIOV..<owner.firstIOV + owner.iovCount).contains(index))
      // The definition: the address is that of the extent which holds the offset.
      let offset = Int(carving.offset(ofIOV: index))
      let extent = try #require(
        extents.first { ($0.offset..<$0.offset + $0.byteCount).contains(offset) })
      #expect(address.rawValue == extent.address!.rawValue + UInt64(offset - extent.offset))
    }
  }

  @Test("huge pages are contiguous: every chunk owner is a multiple of 2 MiB")
  func hugeExtents() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 8 << 20, pageSize: .huge2M)
    let carving = try DMABufCarving(buffer, iovByteCount: 2 << 20)
    #expect(carving.iovCount == 4)
    #expect(carving.unusableByteCount == 0)
    for owner in carving.chunkOwners { #expect(owner.baseAddress.rawValue % (2 << 20) == 0) }
  }

  @Test("a dma-buf that came in through another descriptor is the same one, and not bound again")
  func doubleBind() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let carving = try DMABufCarving(buffer)
    let again = try DMABuf.imported(buffer.duplicateDescriptor())
    do throws(DevmemError) {
      _ = try DMABufCarving(again)
      Issue.record("bound twice")
    } catch {
      #expect(error.code == .alreadyBound)
    }
    #expect(carving.iovCount == 256)
  }

  @Test("two dma-bufs over the same bytes of one memory file are not bound together")
  func overlappingFiles() throws {
    let file = try MemoryFile(name: "overlap", byteCount: 1 << 20)
    try file.addSeals()
    func part(_ offset: Int, _ byteCount: Int) throws -> DMABuf {
      try .udmabuf(
        scattering: [DMABuf.MemoryRange(of: file, offset: offset, byteCount: byteCount)])
    }
    let first = try DMABufCarving(part(0, 8192))
    do throws(DevmemError) {
      _ = try DMABufCarving(try! part(4096, 8192))
      Issue.record("bound the same page twice")
    } catch {
      #expect(error.code == .alreadyBound)
    }
    let neighbour = try DMABufCarving(part(8192, 8192))
    #expect(first.iovCount + neighbour.iovCount == 4)
  }

  @Test("buffers and pools land on the node that was asked for", arguments: [0, 1])
  func nodes(node: Int) throws {
    let buffer = try DMABuf.udmabuf(byteCount: 4 << 20, node: node)
    let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
    let device = try pool.take()
    #expect(device.node == node)
    let hosts = try PagePool(provider: HostMemoryProvider(byteCount: 1 << 20, node: node))
    var host = try hosts.take()
    #expect(host.node == node)
    try host.withMutableBytes { $0.storeBytes(of: 1, as: UInt8.self) }
    let address = try unsafe #require(host.cpuAddress)
    #expect(try unsafe NUMANode.node(of: UnsafeRawPointer(address)) == NUMANode(node))
  }

  @Test("the dma-buf outlives its maker's references while a netmem is out")
  func lifetime() throws {
    var held: Held?
    do {
      let carving = try DMABufCarving(.udmabuf(byteCount: 1 << 20))
      let pool = try PagePool(provider: DMABufMemoryProvider(carving))
      held = Held(try pool.take())
    }
    try #require(held).with { netmem in
      let address = try unsafe #require(netmem.cpuAddress)
      unsafe address.storeBytes(of: 42, as: UInt64.self)
      #expect(unsafe address.load(as: UInt64.self) == 42)
    }
    held?.drop()
  }

  @Test("a provider over a real dma-buf passes the conformance checks")
  func conformance() throws {
    let carving = try DMABufCarving(.udmabuf(byteCount: 4 << 20), iovByteCount: 4096)
    try checkMemoryProvider(DMABufMemoryProvider(carving))
  }
}
