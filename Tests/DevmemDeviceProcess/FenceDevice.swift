// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemSystem
import DevmemTestSupport
import Glibc

/// A device with the dma-buf's own mapping, and fences of devmemsim: it writes its job's number all
/// over the buffers that it was given, looks whether it is still there when it is done, takes it
/// away and ends the job's fence. Which job it ends next, and when, is at random.
final class FenceDevice {
  private let socket: UnixSocket
  private let memory: DMABuf
  private let fences: OwnedFileDescriptor
  private var generator = SeededGenerator(seed: 7)
  private var jobs: [FenceJob] = []
  /// By job: those that have not begun.
  private var announced: [UInt32: UInt32] = [:]
  private var overwrittenCount: UInt32 = 0

  init(_ socket: UnixSocket) throws {
    self.socket = socket
    memory = try receiveBuffer(socket)
    let number = unsafe open("/dev/devmemsim-fence", O_RDWR | O_CLOEXEC)
    guard number >= 0 else { throw Errno(rawValue: errno) }
    fences = OwnedFileDescriptor(owning: number)
    try socket.send(words: [1])
  }

  func run() throws {
    while true {
      // Now and then it is busy for longer, and jobs pile up.
      let patience: Int32 = jobs.isEmpty ? -1 : Int32.random(in: 0...1, using: &generator)
      guard try socket.descriptor.wait(for: .readable, milliseconds: patience) else {
        try endOne()
        continue
      }
      guard let words = try socket.receiveWords(limit: FenceMessage.wordLimit) else { return }
      switch FenceMessage(rawValue: words[0]) {
      case .announce: try makeFence(of: words[1])
      case .begin:
        if announced[words[1]] == nil { try makeFence(of: words[1]) }
        begin(words[1], Array(words[2...]))
      case .finish:
        while !jobs.isEmpty { try endOne() }
        try socket.send(words: [overwrittenCount])
      case nil: exit(1)
      }
      if Int.random(in: 0..<4, using: &generator) == 0, !jobs.isEmpty { try endOne() }
    }
  }

  private func makeFence(of job: UInt32) throws {
    var id: UInt32 = 0
    let number = unsafe ctest_fence_make(fences.rawValue, &id)
    guard number >= 0 else { throw Errno(rawValue: -number) }
    let file = OwnedFileDescriptor(owning: number)
    announced[job] = id
    try socket.send(words: [job], descriptors: [file.rawValue])
  }

  private func begin(_ number: UInt32, _ iovs: [UInt32]) {
    guard let fence = announced.removeValue(forKey: number) else { exit(1) }
    for iov in iovs { write(FenceJob.mark(number), iov) }
    jobs.append(FenceJob(number: number, fence: fence, iovs: iovs))
  }

  private func endOne() throws {
    let job = jobs.remove(at: Int.random(in: 0..<jobs.count, using: &generator))
    for iov in job.iovs {
      if !hasOnly(FenceJob.mark(job.number), iov) { overwrittenCount += 1 }
      write(0, iov)
    }
    let result = ctest_fence_end(fences.rawValue, job.fence, job.number % 16 == 0 ? -EIO : 0)
    guard result == 0 else { throw Errno(rawValue: -result) }
  }

  private static let places = stride(from: 0, to: 4096, by: 512)

  private func write(_ mark: UInt64, _ iov: UInt32) {
    for place in Self.places {
      unsafe memory.cpuMapping!.baseAddress.storeBytes(
        of: mark, toByteOffset: Int(iov) * 4096 + place, as: UInt64.self)
    }
  }

  private func hasOnly(_ mark: UInt64, _ iov: UInt32) -> Bool {
    Self.places.allSatisfy { place in
      unsafe memory.cpuMapping!.baseAddress.load(
        fromByteOffset: Int(iov) * 4096 + place, as: UInt64.self) == mark
    }
  }
}

/// Buffers that the device has, and the fence that says so.
private struct FenceJob {
  let number: UInt32
  let fence: UInt32
  let iovs: [UInt32]

  static func mark(_ number: UInt32) -> UInt64 { FenceMessage.mark | UInt64(number) }
}
