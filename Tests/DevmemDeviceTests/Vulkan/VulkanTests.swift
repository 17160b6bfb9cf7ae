// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import DevmemVulkan

/// Shaders over dma-bufs, by the driver that VK_DRIVER_FILES names: lavapipe in the virtual
/// machine.
@Suite("Vulkan", .serialized) struct VulkanTests {
  private let shared: SharedVulkan
  private var device: VulkanDevice { shared.device }

  init() throws { shared = try .one() }

  private func fillAtRandom(_ buffer: DMABuf, seed: UInt64) throws -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return try buffer.withBytes(.write) { bytes in
      for position in stride(from: 0, to: bytes.count, by: 8) {
        unsafe bytes.storeBytes(of: generator.next(), toByteOffset: position, as: UInt64.self)
      }
      return unsafe Array(bytes)
    }
  }

  private func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in
        crc & 1 != 0 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1
      }
    }
  }

  @Test("one byte through every layer: udmabuf, import, shader, fence, result")
  func oneByte() throws {
    try shared.expectingNoComplaint {
      let buffer = try DMABuf.udmabuf(byteCount: 4096)
      try buffer.withBytes(.write) { unsafe $0[1234] = 42 }
      let memory = try VulkanMemory(importing: buffer, into: device)
      let shader = try shared.shader(.sum)
      let job = try VulkanJob(
        shader, over: [VulkanFragment(offset: 0, byteCount: 4096)], of: memory)
      #expect(try job.results(waitingAtMost: .seconds(60)) == [42])
      try job.fence?.wait(waitingAtMost: .seconds(60))
      try buffer.waitUntilReady(for: .write, waitingAtMost: .seconds(60))
    }
  }

  @Test("sums and CRCs of fragments at any byte, of any length, also of none")
  func digests() throws {
    #expect(crc32("123456789".utf8) == 0xcbf4_3926)
    try shared.expectingNoComplaint {
      let size = 16384
      let buffer = try DMABuf.udmabuf(byteCount: size)
      let bytes = try fillAtRandom(buffer, seed: 1)
      let memory = try VulkanMemory(importing: buffer, into: device)
      var fragments = [
        VulkanFragment(offset: 0, byteCount: size), VulkanFragment(offset: size, byteCount: 0),
        VulkanFragment(offset: size - 1, byteCount: 1), VulkanFragment(offset: 5, byteCount: 2),
      ]
      var generator = SeededGenerator(seed: 2)
      for _ in 0..<60 {
        let offset = Int.random(in: 0..<size, using: &generator)
        fragments.append(
          VulkanFragment(
            offset: offset,
            byteCount: Int.random(in: 0...min(500, size - offset), using: &generator)))
      }
      let parts = fragments.map { bytes[$0.offset..<$0.offset + $0.byteCount] }
      let sums = try VulkanJob(shared.shader(.sum), over: fragments, of: memory)
      #expect(try sums.results() == parts.map { $0.reduce(0) { $0 &+ UInt32($1) } })
      let crcs = try VulkanJob(shared.shader(.crc32), over: fragments, of: memory)
      #expect(try crcs.results() == parts.map(crc32))
    }
  }

  @Test("what shaders write is where it belongs, and nowhere else")
  func writing() throws {
    try shared.expectingNoComplaint {
      let source = try DMABuf.udmabuf(byteCount: 16384)
      let target = try DMABuf.udmabuf(byteCount: 16384)
      var bytes = try fillAtRandom(source, seed: 3)
      var expected = try fillAtRandom(target, seed: 4)
      let memory = try VulkanMemory(importing: source, into: device)
      let written = try VulkanMemory(importing: target, into: device)
      func run(_ kind: VulkanShader.Kind, _ fragments: [VulkanFragment]) throws -> [UInt32] {
        try VulkanJob(shared.shader(kind), over: fragments, of: memory, into: written)
          .results()
      }
      // 3 numbers at an odd word, then 100.
      let numbers = [
        VulkanFragment(offset: 2, byteCount: 6, destination: 4),
        VulkanFragment(offset: 4096, byteCount: 201, destination: 1000),
      ]
      #expect(try run(.widen, numbers) == [3, 100])
      for fragment in numbers {
        for number in 0..<fragment.byteCount / 2 {
          let from = fragment.offset + 2 * number
          let to = fragment.destination + 4 * number
          expected.replaceSubrange(to..<to + 4, with: [0, 0, bytes[from], bytes[from + 1]])
        }
      }
      // Pieces from anywhere, one behind the other from an odd byte on.
      var generator = SeededGenerator(seed: 5)
      var gathered: [VulkanFragment] = []
      var destination = 8193
      for byteCount in [1, 2, 3, 0, 4, 5, 1000, 7, 1, 1, 1, 64, 333] {
        let offset = Int.random(in: 0...16384 - byteCount, using: &generator)
        gathered.append(
          VulkanFragment(offset: offset, byteCount: byteCount, destination: destination))
        expected.replaceSubrange(
          destination..<destination + byteCount, with: bytes[offset..<offset + byteCount])
        destination += byteCount
      }
      #expect(try run(.gather, gathered) == gathered.map { UInt32($0.byteCount) })
      #expect(try target.withBytes(.read) { unsafe Array($0) } == expected)
      // In place: of 9 bytes from byte 2 on, one whole word.
      #expect(
        try run(
          .swap,
          [
            VulkanFragment(offset: 2, byteCount: 9), VulkanFragment(offset: 4096, byteCount: 4096),
            VulkanFragment(offset: 101, byteCount: 2),
          ]) == [1, 1024, 0])
      for word in [4] + stride(from: 4096, to: 8192, by: 4) {
        bytes.replaceSubrange(word..<word + 4, with: bytes[word..<word + 4].reversed())
      }
      #expect(try source.withBytes(.read) { unsafe Array($0) } == bytes)
    }
  }

  @Test("memory that the device allocated is a dma-buf: carved, written, summed")
  func allocated() throws {
    try shared.expectingNoComplaint {
      #expect(device.description.canExport)
      let memory = try VulkanMemory(allocating: 1 << 20, on: device)
      #expect(memory.buffer.isExported)
      #expect(memory.buffer.byteCount >= 1 << 20)
      let pool = try SharedPagePool(
        provider: DMABufMemoryProvider(DMABufCarving(memory.buffer, addressing: .bufferOffset)))
      var fragments: [VulkanFragment] = []
      var batch = NetmemBatch()
      for _ in 0..<16 { batch.append(try pool.take()) }
      try memory.buffer.withCPUAccess(.write) {
        try batch.forEachMutable { netmem in
          fragments.append(VulkanFragment(offset: Int(netmem.offset), byteCount: 100))
          let value = UInt8(fragments.count)
          try netmem.withMutableBytes { bytes in
            for position in 0..<100 {
              bytes.storeBytes(of: value, toByteOffset: position, as: UInt8.self)
            }
          }
        }
      }
      let job = try VulkanJob(shared.shader(.sum), over: fragments, of: memory)
      let returner = try FenceReturner(after: job.fence, on: FenceWatch())
      returner.put(batch)
      #expect(try job.results() == (1...16).map { 100 * $0 })
      while pool.inFlight.held > 0 { SystemProcess.pause(milliseconds: 1) }
      #expect(pool.statistics.fenced == 16 && pool.statistics.fenceFailures == 0)
    }
  }

  @Test("one buffer in two devices of a process, while it is carved")
  func devices() throws {
    let second = try Vulkan().device(.uuid(device.description.uuid))
    let buffer = try DMABuf.udmabuf(byteCount: 1 << 20)
    let carving = try DMABufCarving(buffer)
    #expect(carving.iovCount == 256)
    try buffer.withBytes(.write) { unsafe $0[(1 << 20) - 1] = 7 }
    let all = [VulkanFragment(offset: 0, byteCount: 1 << 20)]
    for device in [device, second] {
      let memory = try VulkanMemory(importing: buffer, into: device)
      #expect(try VulkanJob(VulkanShader(.sum, on: device), over: all, of: memory).results() == [7])
    }
    // The claim is the carving's, whoever has imported the memory.
    #expect(throws: DevmemError.self) { _ = try DMABufCarving(buffer) }
  }

  @Test(
    "in both directions, from a page to more than a shader reaches at a time, at odd bytes",
    arguments: [4 << 10, 12 << 10, 1 << 20, 36 << 20, 128 << 20, 256 << 20])
  func sizes(byteCount: Int) throws {
    let range = device.description.rangeLimit
    #expect(range < 256 << 20, "all of it is seen at once: nothing is cut into parts")
    try shared.expectingNoComplaint {
      let imported = try VulkanMemory(importing: .udmabuf(byteCount: byteCount), into: device)
      let allocated = try VulkanMemory(allocating: byteCount, on: device)
      #expect(allocated.buffer.byteCount >= byteCount)
      // At both ends of the buffer, and across the middle and the ends of what a shader reaches.
      let edges = [range / 2, range, 3 * range / 2, byteCount / 2, byteCount - 3].map { $0 - 3 }
      var places = [1]
      for place in edges.sorted() where place + 5 <= byteCount && place >= places.last! + 8 {
        places.append(place)
      }
      // Copied to the other end, at another alignment.
      let fragments = places.map {
        VulkanFragment(offset: $0, byteCount: 5, destination: byteCount - $0 - 5)
      }
      try imported.buffer.withBytes(.write) { bytes in
        for (index, place) in places.enumerated() {
          unsafe bytes[place] = UInt8(index + 1)
          unsafe bytes[place + 4] = 100
        }
      }
      let sums = try VulkanJob(shared.shader(.sum), over: fragments, of: imported).results()
      #expect(sums == places.indices.map { UInt32($0 + 101) })
      let copy = try VulkanJob(
        shared.shader(.gather), over: fragments, of: imported, into: allocated)
      #expect(try copy.results() == places.map { _ in 5 })
      let copies = fragments.map { VulkanFragment(offset: $0.destination, byteCount: 5) }
      #expect(
        try VulkanJob(shared.shader(.sum), over: copies, of: allocated).results() == sums)
    }
  }

  @Test("of a buffer that a shader does not see as a whole, a fragment has to be in one part")
  func tooLarge() throws {
    let range = device.description.rangeLimit
    let memory = try VulkanMemory(importing: .udmabuf(byteCount: range + 4096), into: device)
    let error = #expect(throws: VulkanError.self) {
      _ = try VulkanJob(
        shared.shader(.sum), over: [VulkanFragment(offset: 0, byteCount: range + 1)], of: memory)
    }
    #expect(error?.code == .sizeLimit && error?.remedy?.contains("fragments of") == true)
  }

  @Test("errors name what is missing, and lose nothing")
  func errors() throws {
    func code(_ body: () throws -> Void) -> VulkanError.Code? {
      let error = #expect(throws: VulkanError.self, performing: body)
      #expect(error?.remedy != nil)
      return error?.code
    }
    let vulkan = shared.vulkan
    #expect(code { _ = try vulkan.device(.named("no such card")) } == .noSuchDevice)
    #expect(code { _ = try vulkan.device(.uuid([])) } == .noSuchDevice)
    #expect(try vulkan.device(Vulkan.Choice("LLVMPIPE")).description == device.description)
    let file = try DMABuf.memoryFile(byteCount: 65536)
    #expect(code { _ = try VulkanMemory(importing: file, into: device) } == .notADMABuf)
    #expect(code { _ = try VulkanMemory(allocating: 100, on: device) } == .sizeLimit)
    #expect(code { _ = try VulkanMemory(allocating: 1 << 40, on: device) } == .sizeLimit)
    let buffer = try DMABuf.udmabuf(byteCount: 65536)
    let memory = try VulkanMemory(importing: buffer, into: device)
    let shader = try shared.shader(.widen)
    for fragment in [
      VulkanFragment(offset: -2, byteCount: 4), VulkanFragment(offset: 0, byteCount: 65538),
      VulkanFragment(offset: 65536, byteCount: 2), VulkanFragment(offset: 1, byteCount: 2),
      VulkanFragment(offset: .max - 1, byteCount: .max), VulkanFragment(offset: 0, byteCount: -2),
      VulkanFragment(offset: 0, byteCount: 4, destination: 65532),
      VulkanFragment(offset: 0, byteCount: 4, destination: 2),
      VulkanFragment(offset: 0, byteCount: 4, destination: -4),
    ] {
      #expect(code { _ = try VulkanJob(shader, over: [fragment], of: memory) } == .invalidFragment)
    }
    #expect(code { _ = try VulkanJob(shader, over: [], of: memory) } == .invalidFragment)
  }

  @Test("a job waits for the devices before it, with a limit")
  func waitsForOthers() throws {
    let vgem = try VGEMFences()
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    let memory = try VulkanMemory(importing: buffer, into: device)
    let shader = try shared.shader(.sum)
    let all = [VulkanFragment(offset: 0, byteCount: 4096)]
    let writer = try vgem.attach(to: buffer, as: .write)
    let error = #expect(throws: FenceError.self) {
      _ = try VulkanJob(shader, over: all, of: memory, waitingAtMost: .milliseconds(50))
    }
    #expect(error?.code == .timedOut)
    let thread = try vgem.signal(writer, after: 200)
    #expect(try VulkanJob(shader, over: all, of: memory).results() == [0])
    _ = consume thread
  }

  @Test("the device's queue waits for fences: the buffers' own, and those that it is given")
  func queueWaits() throws {
    #expect(device.description.canWait)
    let vgem = try VGEMFences()
    let other = try DMABuf.udmabuf(byteCount: 4096)
    try shared.expectingNoComplaint {
      for isOwn in [true, false] {
        let buffer = try DMABuf.udmabuf(byteCount: 4096)
        let memory = try VulkanMemory(importing: buffer, into: device)
        let shader = try shared.shader(.sum)
        let number = try vgem.attach(to: isOwn ? buffer : other, as: .write)
        let given = isOwn ? [] : [try other.fence(for: .read)]
        // Written when the call has long been made; a queue that does not wait finds 0.
        let writer = try SystemThread(name: "writer", processors: .ofProcess()) {
          SystemProcess.pause(milliseconds: 300)
          unsafe buffer.cpuMapping!.baseAddress.storeBytes(of: 42, as: UInt8.self)
          try? vgem.signal(number)
        }
        let job = try VulkanJob(
          shader, over: [VulkanFragment(offset: 0, byteCount: 4096)], of: memory, after: given)
        #expect(try job.results() == [42])
        _ = consume writer
      }
    }
  }

  @Test("without libvulkan, or a driver, an error says how to get one")
  func missing() {
    for (errno, code) in [
      (79, .libraryMissing), (65, .layerMissing), (Errno.ENODEV.rawValue, .noDevice),
    ] as [(Int32, VulkanError.Code)] {
      SystemCallSeam.forcing(Errno(rawValue: errno), on: .vulkanOpen) {
        let error = #expect(throws: VulkanError.self) { _ = try Vulkan() }
        #expect(error?.code == code)
        #expect(error?.remedy?.contains("sudo apt-get install") == true)
      }
    }
  }

  @Test("a device that lacks something is passed over, or named with what it lacks")
  func lacking() throws {
    func device(_ name: String, lacking: [String], isSoftware: Bool = false) -> Vulkan.Description {
      Vulkan.Description(
        index: 0, name: name, uuid: Array(repeating: UInt8(name.utf8.count), count: 16),
        isSoftware: isSoftware, lacking: lacking, canExport: true, canWait: true, byteLimit: 1,
        rangeLimit: 1, fragmentLimit: 1)
    }
    let old = device("Old", lacking: ["VK_EXT_external_memory_dma_buf"])
    let slow = device("Slow one", lacking: [], isSoftware: true)
    let fast = device("Fast", lacking: [])
    #expect(try Vulkan.choose(.any, among: [old, slow, fast]) == fast)
    #expect(try Vulkan.choose(.any, among: [old, slow]) == slow)
    #expect(try Vulkan.choose(.named("slow"), among: [fast, slow]) == slow)
    #expect(try Vulkan.choose(.uuid(slow.uuid), among: [fast, slow]) == slow)
    let error = #expect(throws: VulkanError.self) {
      try Vulkan.choose(.named("old"), among: [old, fast])
    }
    #expect(error?.code == .deviceUnsupported && error?.operation.contains("Old") == true)
    #expect(error?.remedy?.contains("VK_EXT_external_memory_dma_buf") == true)
    let none = #expect(throws: VulkanError.self) { try Vulkan.choose(.any, among: []) }
    #expect(none?.code == .noDevice)
  }

  @Test("Vulkan's calls leave nothing behind, whichever fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let imported = try DMABuf.udmabuf(byteCount: 65536)
      let kept = try Vulkan().device()
      // One errno: under emulation a driver takes its time.
      ForcedErrnos.printVerdict(with: [.ENOMEM]) {
        let device = try Vulkan().device()
        _ = try VulkanMemory(allocating: 65536, on: device)
        _ = try VulkanMemory(importing: imported, into: device)
      }
      withExtendedLifetime(kept) {}
    }
    ForcedErrnos.expectCleanVerdict(result)
  }

  @Test("a job leaves nothing behind, whichever call fails")
  func forcedJob() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let imported = try DMABuf.udmabuf(byteCount: 65536)
      let device = try Vulkan().device()
      let memory = try VulkanMemory(importing: imported, into: device)
      ForcedErrnos.printVerdict(with: [.ENOMEM]) {
        let job = try VulkanJob(
          VulkanShader(.swap, on: device), over: [VulkanFragment(offset: 0, byteCount: 64)],
          of: memory, after: [])
        guard try job.results() == [16] else { throw DevmemError(.systemCall, "16 words") }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
