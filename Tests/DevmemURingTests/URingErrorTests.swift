// SPDX-License-Identifier: Apache-2.0

import CTestSupport
import Devmem
import DevmemNet
import DevmemSystem
import DevmemTestSupport
import Glibc
import Testing

@testable import DevmemURing

@Suite("Refusals of io_uring")
struct URingErrorTests {
  @Test(
    "EPERM is the administrator's or a filter's, as the setting says",
    arguments: [
      (2, .disabled, "kernel.io_uring_disabled=0"), (1, .disabled, "kernel.io_uring_group"),
      (0, .filtered, "docker run"), (nil, .filtered, "docker run"),
    ] as [(Int?, URingError.Code, String)])
  func disabled(setting: Int?, code: URingError.Code, words: String) {
    let error = URingError.opening(.EPERM, disabled: setting)
    #expect(error.code == code)
    #expect(error.remedy?.contains(words) == true, "\(error)")
    #expect("\(error)".contains("EPERM"))
  }

  @Test(
    "a filter of system calls is told from a kernel without io_uring", arguments: [EPERM, ENOSYS])
  func filtered(errno: Int32) async {
    await #expect(processExitsWith: .success) { [errno] in
      // io_uring_setup(2), the same number on every processor.
      let call: [Int32] = [425]
      precondition(unsafe ctest_refuse_calls(call, 1, errno) == 0)
      let held = try ResourceCount.now()
      do throws(URingError) {
        _ = try URing(submissionCount: 1, completionCount: 2)
        fatalError("io_uring was not refused")
      } catch {
        precondition(error.underlying == Errno(rawValue: errno), "\(error)")
        precondition(error.code == (errno == EPERM ? .filtered : .kernelUnsupported), "\(error)")
        precondition(error.remedy != nil, "\(error)")
      }
      let now = try ResourceCount.now()
      precondition(now == held, "held \(held), then \(now)")
    }
  }

  @Test("each errno that means something has a code and a way out")
  func codes() {
    let errors: [(URingError, URingError.Code)] = [
      (.opening(.ENOMEM, disabled: 0), .memoryLimit),
      (.opening(.EMFILE, disabled: 0), .descriptorLimit),
      (.opening(.ENFILE, disabled: 0), .descriptorLimit),
      (.registeringBuffers(.EINVAL), .kernelUnsupported),
      (.registeringBuffers(.ENOMEM), .memoryLimit),
      (.receiving(.EINVAL), .kernelUnsupported),
      (.receiving(.EFAULT), .unwritable),
      (.receiving(.ENOTCONN), .notASocket),
      (.querying(.EINVAL), .kernelUnsupported),
      (.querying(.EOPNOTSUPP), .kernelUnsupported),
      (.registeringArea(.EFAULT, source: .dmaBuf), .notPinnable),
      (.registeringArea(.EPERM, source: .memoryFile), .permissionDenied),
      (.registeringArea(.EINVAL, source: .memoryFile), .kernelUnsupported),
      (.registeringArea(.ENOMEM, source: .memoryFile), .memoryLimit),
    ]
    for (error, code) in errors {
      #expect(error.code == code, "\(error)")
      #expect(error.remedy?.isEmpty == false, "\(error)")
    }
    #expect(URingError.receiving(.ECONNRESET).code == .connectionLost)
    #expect(URingError.receiving(.EIO).code == .systemCall)
  }

  @Test("zero-copy receive is there as the kernel says, or refused with what to use instead")
  func zeroCopy() throws {
    let memory = try DMABuf.memoryFile(byteCount: 65536)
    let stream = try Stream(iovCount: 4)
    var isExpected = false
    do throws(URingError) {
      isExpected = try ZeroCopyCapabilities.query().hasNoDevice
    } catch {
      #expect(error.code == .kernelUnsupported, "\(error)")
    }
    do {
      _ = try ZeroCopyReceiver(stream: stream.client.socket.descriptor.duplicate(), memory: memory)
      #expect(isExpected)
    } catch let error as URingError {
      #expect(
        isExpected ? error.code == .permissionDenied : error.code == .kernelUnsupported, "\(error)")
      #expect(error.remedy?.contains("provided buffers") == true, "\(error)")
    }
    // Whatever happened, nobody has the memory.
    _ = try DMABufCarving(memory)
  }

  @Test("numbers that make no receiver are refused before the kernel is asked")
  func configuration() throws {
    let stream = try Stream(iovCount: 4)
    for configuration: ProvidedBufferReceiver.Configuration in [
      .init(lentCount: 0), .init(lentCount: 3), .init(lentCount: 1 << 16),
      .init(fragmentLimit: 0), .init(fragmentLimit: 1 << 20),
    ] {
      let descriptor = try stream.client.socket.descriptor.duplicate()
      do throws(URingError) {
        _ = try ProvidedBufferReceiver(
          stream: descriptor, payload: stream.pool, configuration: configuration)
        Issue.record("\(configuration) was taken")
      } catch {
        #expect(error.code == .invalidConfiguration && error.underlying == nil, "\(error)")
        #expect(error.remedy != nil)
      }
    }
  }

  @Test("the largest and the smallest number of lent buffers are taken")
  func extremes() throws {
    for count in [1, 2, 1 << 15] {
      let stream = try Stream(iovCount: 8)
      var receiver = try stream.receiver(.init(lentCount: count))
      var packet = receiver.makePacket()
      try stream.client.socket.send([1])
      #expect(try receiver.receive(into: &packet) == .packet)
    }
  }

  @Test("memory without an address for the CPU cannot be lent, and the error says so")
  func noCPUMapping() throws {
    let provider = try ListProvider(
      iovCount: 4, iovByteCount: 4096, kind: .device, hasCPUMapping: false)
    let pool = try PagePool(provider: provider)
    let (near, far) = try UnixSocket.pair()
    do {
      var receiver = try ProvidedBufferReceiver(
        stream: near.descriptor.duplicate(), payload: pool, configuration: .init(lentCount: 4))
      var packet = receiver.makePacket()
      do throws(URingError) {
        let outcome = try receiver.receive(into: &packet)
        Issue.record("\(outcome)")
      } catch {
        #expect(error.code == .unwritable && error.remedy != nil, "\(error)")
      }
    }
    #expect(pool.inFlight.held == 0)
    withExtendedLifetime(far) {}
  }

  @Test("a descriptor that is no socket ends with an error that says so")
  func noSocket() throws {
    let stream = try Stream(iovCount: 4)
    let number = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
    var receiver = try ProvidedBufferReceiver(
      stream: OwnedFileDescriptor(owning: number), payload: stream.pool,
      configuration: .init(lentCount: 4))
    var packet = receiver.makePacket()
    do throws(URingError) {
      let outcome = try receiver.receive(into: &packet)
      Issue.record("\(outcome)")
    } catch {
      #expect(error.code == .notASocket, "\(error)")
    }
  }

  @Test("no descriptor, mapping or buffer is lost when a call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let provider = try HostMemoryProvider(byteCount: 1 << 20)
      let pool = try PagePool(provider: provider)
      ForcedErrnos.printVerdict {
        let (near, far) = try UnixSocket.pair()
        defer { precondition(pool.inFlight.held == 0, "buffers are still lent") }
        var receiver = try ProvidedBufferReceiver(
          stream: near.descriptor.duplicate(), payload: pool,
          configuration: .init(lentCount: 8, waits: false))
        var packet = receiver.makePacket()
        let first = try receiver.receive(into: &packet)
        try far.send([UInt8](repeating: 3, count: 100))
        let isReadable = try receiver.wait(milliseconds: 10_000)
        let second = try receiver.receive(into: &packet)
        precondition(first == .wouldBlock && isReadable && second == .packet)
        packet.removeAll()
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
