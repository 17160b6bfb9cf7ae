// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Testing

/// Each refusal: its code, the kernel's errno, and a way out that names what to do.
@Suite struct DMABufErrorTests {
  private func error<Result: ~Copyable>(
    of body: () throws -> Result
  ) -> DevmemError? {
    do {
      _ = try body()
      return nil
    } catch {
      return error as? DevmemError
    }
  }

  @Test("a missing /dev/udmabuf says how to get one on the running kernel")
  func missing() throws {
    let error = try #require(
      error {
        try SystemCallSeam.forcing(.ENOENT, on: .open) { try DMABuf.udmabuf(byteCount: 4096) }
      })
    #expect(error.code == .exporterMissing)
    #expect(error.underlying == .ENOENT)
    #expect(error.operation == "opening /dev/udmabuf")
    let remedy = try #require(error.remedy)
    let release = try SystemProcess.kernelRelease()
    for part in [release, "CONFIG_UDMABUF=y", "bookworm-backports"] {
      #expect(remedy.contains(part))
    }
  }

  @Test("a forbidden /dev/udmabuf names the group", arguments: [Errno.EACCES, .EPERM])
  func forbidden(errno: Errno) throws {
    let error = try #require(
      error { try SystemCallSeam.forcing(errno, on: .open) { try DMABuf.udmabuf(byteCount: 4096) } }
    )
    #expect(error.code == .permissionDenied)
    #expect(error.underlying == errno)
    // Root that is refused lacks no group.
    let wanted =
      SystemProcess.effectiveUser == 0
      ? "docker run --device /dev/udmabuf" : "sudo usermod -aG kvm $USER"
    #expect(error.remedy?.contains(wanted) == true)
  }

  @Test("missing heaps and cards say so")
  func otherExporters() throws {
    let heap = try #require(
      error {
        try SystemCallSeam.forcing(.ENOENT, on: .open) { try DMABuf.dmaHeap(byteCount: 4096) }
      })
    #expect(heap.code == .exporterMissing && heap.underlying == .ENOENT)
    let card = try #require(
      error {
        try SystemCallSeam.forcing(.ENOENT, on: .open) {
          try DMABuf.drmDumb(byteCount: 4096, card: "/dev/dri/card0")
        }
      })
    #expect(card.code == .exporterMissing && card.underlying == .ENOENT)
    #expect(card.remedy?.contains("modprobe vgem") == true)
    let none = try #require(
      error {
        try SystemCallSeam.forcing(.ENOENT, on: .directory) { try DMABuf.drmDumb(byteCount: 4096) }
      })
    #expect(none.code == .exporterMissing)
    let name = try #require(error { try DMABuf.dmaHeap(named: "../zero", byteCount: 4096) })
    #expect(name.code == .invalidName)
  }

  @Test("sizes are checked before any system call", arguments: [0, -4096, 100, 4097])
  func sizes(byteCount: Int) throws {
    let counts = SystemCallSeam.counting {
      #expect(error { try DMABuf.udmabuf(byteCount: byteCount) }?.code == .invalidByteCount)
      #expect(error { try DMABuf.udmabufs(byteCount: byteCount) }?.code == .invalidByteCount)
      #expect(error { try DMABuf.memoryFile(byteCount: byteCount) }?.code == .invalidByteCount)
      #expect(error { try DMABuf.dmaHeap(byteCount: byteCount) }?.code == .invalidByteCount)
      #expect(error { try DMABuf.drmDumb(byteCount: byteCount) }?.code == .invalidByteCount)
    }
    #expect(counts.isEmpty)
    #expect(
      error { try DMABuf.memoryFile(byteCount: 1 << 20, pageSize: .huge2M) }?.code
        == .invalidByteCount)
  }

  @Test("more than there is memory is refused before the kernel runs out")
  func tooMuch() throws {
    for node in [nil, 0] {
      let error = try #require(error { try DMABuf.memoryFile(byteCount: 1 << 50, node: node) })
      #expect(error.code == .outOfMemory && error.underlying == nil)
    }
    #expect(try SystemProcess.availableMemoryByteCount() > 1 << 20)
  }

  @Test("names are checked before any system call")
  func names() throws {
    let long = String(repeating: "n", count: 32)
    #expect(error { try DMABuf.memoryFile(byteCount: 4096, name: long) }?.code == .invalidName)
    #expect(error { try DMABuf.udmabuf(byteCount: 4096, name: "a\0b") }?.code == .invalidName)
    #expect(throws: Never.self) {
      try DMABuf.memoryFile(byteCount: 4096, name: String(repeating: "n", count: 31))
    }
  }

  @Test("a node that does not exist names those that do", arguments: [-1, 63, 1 << 20])
  func nodes(node: Int) throws {
    let error = try #require(error { try DMABuf.memoryFile(byteCount: 4096, node: node) })
    #expect(error.code == .noSuchNode)
    #expect(error.remedy?.contains("0") == true)
  }

  @Test("an empty huge-page pool says how many pages to reserve, and where")
  func hugePages() throws {
    for (call, errno) in [
      (SystemCall.mapFile, Errno.ENOMEM), (.populate, .EFAULT), (.memoryFileCreate, .ENODEV),
    ] {
      let error = try #require(
        error {
          try SystemCallSeam.forcing(errno, on: call) {
            try DMABuf.memoryFile(byteCount: 64 << 20, pageSize: .huge2M)
          }
        })
      #expect(error.code == .noHugePages)
      if errno == .ENODEV {
        #expect(error.remedy?.contains("/sys/kernel/mm/hugepages") == true)
      } else if error.underlying == errno {
        #expect(
          error.remedy
            == "Reserve huge pages (this buffer needs 32 free ones):"
            + " echo 32 | sudo tee /proc/sys/vm/nr_hugepages")
      }
    }
  }

  @Test("memory and descriptors that run out have codes of their own")
  func exhaustion() throws {
    func code(_ errno: Errno, _ call: SystemCall) -> DevmemError.Code? {
      error {
        try SystemCallSeam.forcing(errno, on: call) { try DMABuf.memoryFile(byteCount: 4096) }
      }?.code
    }
    #expect(code(.ENOMEM, .mapFile) == .outOfMemory)
    #expect(code(.EFAULT, .populate) == .outOfMemory)
    #expect(code(.EMFILE, .memoryFileCreate) == .descriptorLimit)
    #expect(code(.ENFILE, .memoryFileCreate) == .descriptorLimit)
    #expect(code(.EPERM, .memoryFileAddSeals) == .sealRefused)
    #expect(code(.EIO, .memoryFileResize) == .systemCall)
  }

  @Test("what is not a dma-buf is not imported")
  func notADMABuf() throws {
    let file = try MemoryFile(name: "plain", byteCount: 4096)
    #expect(error { try DMABuf.imported(file.descriptor.duplicate()) }?.code == .notADMABuf)
    let (socket, _) = try UnixSocket.pair()
    #expect(
      error { try DMABuf.importedMemoryFile(socket.descriptor.duplicate()) }?.code == .notADMABuf)
    #expect(
      error { try DMABuf.importedMemoryFile(file.descriptor.duplicate()) }?.code == .sealRefused)
  }

  @Test("an error prints on one line: operation, code, errno, remedy")
  func prints() {
    let error = DevmemError(.sizeLimit, "making it", underlying: .EINVAL, remedy: "Less.")
    #expect("\(error)" == "making it: sizeLimit, EINVAL (Invalid argument). Less.")
    #expect("\(DevmemError(.unreadable, "reading"))" == "reading: unreadable")
  }

  @Test("codes are stable")
  func codes() {
    #expect(
      DevmemError.Code.allCases.map(\.rawValue).prefix(10) == [
        "exporterMissing", "exporterRefused", "permissionDenied", "sizeLimit", "listLimit",
        "noHugePages", "outOfMemory", "descriptorLimit", "sealRefused", "alreadyBound",
      ])
  }
}
