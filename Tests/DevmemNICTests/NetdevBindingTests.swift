// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import Testing

@testable import DevmemNIC

/// What binding says on a machine that cannot: any machine, on its loopback interface. What the
/// newest kernel says exactly is tested on the device tier.
@Suite struct NetdevBindingTests {
  /// The family, or the error of a kernel that has none.
  private func commands() throws -> (receive: Bool, transmit: Bool)? {
    do throws(DevmemError) {
      let family = try NetdevFamily()
      return (family.hasBindReceive, family.hasBindTransmit)
    } catch {
      #expect(error.code == .kernelUnsupported)
      #expect(error.remedy?.contains("CONFIG_NET_DEVMEM") == true)
      return nil
    }
  }

  @Test("the loopback interface refuses to receive, and the error names it and what could")
  func receiveOnLoopback() throws {
    let loopback = try NetworkInterface(named: "lo")
    let buffer = try DMABuf.memoryFile(byteCount: 65536)
    let commands = try commands()
    do throws(DevmemError) {
      _ = try NetdevBinding.receive(buffer, interface: loopback, queues: [0])
      Issue.record("the loopback interface took device memory")
    } catch {
      if commands?.receive != true {
        #expect(error.code == .kernelUnsupported)
      } else if SystemProcess.effectiveUser != 0 {
        #expect(error.code == .permissionDenied)
      } else {
        #expect(error.code == .receiveUnsupported)
        #expect(error.underlying == .EOPNOTSUPP)
        #expect(error.remedy?.contains("mlx5_core") == true)
        #expect(error.remedy?.contains("mlx5_core") == true)
      }
      guard commands != nil else { return }
      #expect(error.interface == loopback.name)
      #expect(error.operation == "binding a dma-buf to receive queue 0 of lo")
      #expect("\(error)".contains("lo"))
    }
  }

  @Test("the loopback interface refuses to send, in the kernel's words and ours")
  func transmitOnLoopback() throws {
    let loopback = try NetworkInterface(named: "lo")
    let buffer = try DMABuf.memoryFile(byteCount: 65536)
    let commands = try commands()
    do throws(DevmemError) {
      _ = try NetdevBinding.transmit(buffer, interface: loopback)
      Issue.record("the loopback interface took device memory")
    } catch {
      guard commands?.transmit == true else {
        #expect(error.code == .kernelUnsupported)
        return
      }
      #expect(error.code == .transmitUnsupported)
      #expect(error.interface == loopback.name)
      #expect(error.underlying == .EOPNOTSUPP)
      #expect(error.cause == "Driver does not support netmem TX")
      #expect(error.remedy?.contains("mlx5_core") == true)
    }
  }

  @Test("an interface that is not there is named")
  func noInterface() {
    do throws(DevmemError) {
      _ = try NetworkInterface(named: "no-such-dev")
      Issue.record("there is an interface no-such-dev")
    } catch {
      #expect(error.code == .interfaceMissing)
      #expect(error.underlying == .ENODEV)
      #expect(error.operation.contains("no-such-dev"))
      #expect(error.remedy?.contains("ip -br link") == true)
    }
    #expect(throws: DevmemError.self) { try NetworkInterface(index: 0x7FFF_FFFF) }
  }

  @Test("an interface that has gone is missing, whatever it is called")
  func goneInterface() throws {
    guard try commands()?.transmit == true else { return }
    let gone = NetworkInterface(name: "gone0", index: 0x7FFF_FFFF)
    let buffer = try DMABuf.memoryFile(byteCount: 65536)
    do throws(DevmemError) {
      _ = try NetdevBinding.transmit(buffer, interface: gone)
      Issue.record("an interface that is not there took device memory")
    } catch {
      #expect(error.code == .interfaceMissing)
      #expect(error.interface == gone.name)
    }
  }

  @Test("binding to no queue is refused before the kernel is asked")
  func noQueue() throws {
    guard try commands()?.receive == true else { return }
    let buffer = try DMABuf.memoryFile(byteCount: 65536)
    do throws(DevmemError) {
      _ = try NetdevBinding.receive(buffer, interface: NetworkInterface(named: "lo"), queues: [])
      Issue.record("no queue is no binding")
    } catch {
      #expect(error.code == .invalidArgument)
      #expect(error.underlying == nil)
    }
  }

  @Test("memory that is carved is not given to a network card, and a refusal leaves it free")
  func carved() throws {
    let loopback = try NetworkInterface(named: "lo")
    let buffer = try DMABuf.memoryFile(byteCount: 65536)
    do {
      let carving = try DMABufCarving(buffer)
      do throws(DevmemError) {
        _ = try NetdevBinding.receive(buffer, interface: loopback, queues: [0])
        Issue.record("two would have handed out the same bytes")
      } catch {
        #expect(error.code == .memoryInUse)
        #expect(error.underlying == nil)
        #expect(error.remedy != nil)
      }
      #expect(carving.buffer === buffer)
    }
    // Free again, and so it stays after the loopback interface has refused.
    #expect(throws: DevmemError.self) {
      try NetdevBinding.receive(buffer, interface: loopback, queues: [0])
    }
    #expect(throws: Never.self) { try DMABufCarving(buffer) }
  }

  @Test("a refused binding leaves nothing behind, whichever call fails")
  func forced() async {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let buffer = try DMABuf.memoryFile(byteCount: 65536)
      ForcedErrnos.printVerdict(tolerates: { forced in
        // A forced refusal that is the interface's own.
        [.netlinkSend, .wait, .netlinkReceive].contains(forced.call) && forced.errno == .EOPNOTSUPP
      }) {
        let loopback = try NetworkInterface(named: "lo")
        do throws(DevmemError) {
          _ = try NetdevBinding.transmit(buffer, interface: loopback)
        } catch {
          // What the loopback interface answers without help.
          if ![.transmitUnsupported, .kernelUnsupported].contains(error.code)
            || error.underlying != (error.code == .transmitUnsupported ? .EOPNOTSUPP : nil)
          {
            throw error
          }
        }
      }
    }
    ForcedErrnos.expectCleanVerdict(result)
  }
}
