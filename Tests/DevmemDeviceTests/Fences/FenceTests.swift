// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

/// Waiting for fences, alone and many at a time.
@Suite("Fences", .onDevmemSim, .serialized) struct FenceTests {
  @Test("a task waits for a fence, and for a buffer that has it")
  func waiting() async throws {
    let fences = try SimulatedFences()
    let watch = try FenceWatch()
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    let (fence, id) = try fences.make()
    try buffer.add(fence, as: .write)
    async let one: Void = fence.wait(on: watch)
    async let two: Void = buffer.waitUntilReady(for: .read, on: watch)
    async let three: Void = buffer.waitUntilReady(for: .write, on: watch)
    while watch.count < 3 { try await Task.sleep(for: .milliseconds(1)) }
    #expect(try fence.status == .pending)
    try fences.end(id)
    _ = try await (one, two, three)
    #expect(watch.count == 0)
    #expect(try fence.status == .signalled)
    // One that has signalled is waited for no longer than a look takes.
    try await fence.wait(on: watch)
  }

  @Test("a device's error is thrown, and ends the wait for the buffer like any other end")
  func failed() async throws {
    let fences = try SimulatedFences()
    let watch = try FenceWatch()
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    let (fence, id) = try fences.make()
    try buffer.add(fence, as: .write)
    try fences.end(id, .EIO)
    #expect(try fence.status == .failed(.EIO))
    let blocked = #expect(throws: FenceError.self) { try fence.wait() }
    #expect(blocked?.code == .failed && blocked?.underlying == .EIO)
    let suspended = await #expect(throws: FenceError.self) { try await fence.wait(on: watch) }
    #expect(suspended == blocked)
    try buffer.waitUntilReady(for: .write, waitingAtMost: .seconds(5))
  }

  @Test("whose device is gone: the fence ends with the driver's error")
  func deviceGone() async throws {
    let watch = try FenceWatch()
    let fence: Fence
    do {
      let fences = try SimulatedFences()
      fence = try fences.make().0
    }
    let error = await #expect(throws: FenceError.self) { try await fence.wait(on: watch) }
    #expect(error?.code == .failed && error?.underlying == .ECANCELED)
  }

  @Test("a wait ends with its limit, and with its task; the fence stays as it is")
  func ends() async throws {
    let fences = try SimulatedFences()
    let watch = try FenceWatch()
    let (fence, id) = try fences.make()
    let late = await #expect(throws: FenceError.self) {
      try await fence.wait(on: watch, waitingAtMost: .milliseconds(30))
    }
    #expect(late?.code == .timedOut)
    let task = Task { () -> FenceError? in
      do throws(FenceError) {
        try await fence.wait(on: watch)
        return nil
      } catch {
        return error
      }
    }
    while watch.count == 0 { try await Task.sleep(for: .milliseconds(1)) }
    task.cancel()
    #expect(await task.value?.code == .cancelled)
    #expect(watch.count == 0)
    #expect(try fence.status == .pending)
    // The same descriptor is watched anew.
    async let again: Void = fence.wait(on: watch)
    try fences.end(id)
    try await again
  }

  @Test("what is no sync file is refused, and its descriptor closed")
  func refusals() throws {
    let buffer = try DMABuf.udmabuf(byteCount: 4096)
    for descriptor in [
      { try buffer.duplicateDescriptor() },
      { try MemoryFile(name: "none", byteCount: 4096).descriptor.duplicate() },
      { try UnixSocket.pair().0.descriptor.duplicate() },
    ] as [() throws -> OwnedFileDescriptor] {
      let error = #expect(throws: FenceError.self) { _ = try Fence(descriptor()) }
      #expect(error?.code == .notASyncFile)
      #expect(error?.remedy != nil)
    }
  }

  @Test("a thousand fences that end in another order than they were made")
  func many() async throws {
    let fences = try SimulatedFences()
    let watch = try FenceWatch()
    var generator = SeededGenerator(seed: 13)
    try await withThrowingTaskGroup(of: Void.self) { group in
      var ids: [UInt32] = []
      for _ in 0..<1000 {
        let (fence, id) = try fences.make()
        ids.append(id)
        group.addTask { try await fence.wait(on: watch, waitingAtMost: .seconds(60)) }
      }
      for id in ids.shuffled(using: &generator) { try fences.end(id) }
      try await group.waitForAll()
    }
    #expect(watch.count == 0)
  }

  @Test("waits leave nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let buffer = try DMABuf.udmabuf(byteCount: 65536)
      // The thread is released whatever the kernel answers.
      ForcedErrnos.printVerdict(tolerates: { $0.call == .threadRelease }) {
        let fence = try buffer.fence(for: .write)
        _ = try Fence(fence.duplicateDescriptor()).status
        try fence.wait()
        try buffer.add(fence, as: .read)
        try buffer.waitUntilReady(for: .write)
        _ = try FenceWatch()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
