// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem

/// Making a device memory of some size: the memory itself apart from carving it.
extension BenchCase {
  static let creations = [("64M", 64 << 20), ("1G", 1 << 30)].flatMap { (size, byteCount) in
    [
      BenchCase(
        "create_\(size)", "carve \(size) into IOVs of 4 KiB: records and allocator, not the memory",
        instructionRange: 1..<5
      ) {
        let (buffer, note) = try deviceMemory(byteCount: byteCount)
        return Loop(note: note) { count in
          for done in 0..<count {
            let carving = try DMABufCarving(buffer)
            guard carving.iovCount > 0 else { return done }
          }
          return count
        }
      },
      BenchCase(
        "create_\(size)_populate", "the memory: all pages placed, dma-buf made, nothing carved",
        repeatLimit: 3, instructionRange: nil
      ) {
        let (_, note) = try deviceMemory(byteCount: byteCount)
        return Loop(note: note) { count in
          for _ in 0..<count { _ = try deviceMemory(byteCount: byteCount) }
          return count
        }
      },
    ]
  }

  /// A dma-buf from udmabuf, or its stand-in where there is none, and which of them it is.
  private static func deviceMemory(byteCount: Int) throws -> (buffer: DMABuf, note: String) {
    do {
      return (try DMABuf.udmabuf(byteCount: byteCount), "a dma-buf of /dev/udmabuf")
    } catch {
      let buffer = try DMABuf.memoryFile(byteCount: byteCount)
      return (buffer, "a memory file without an exporter, because: \(error.operation) failed")
    }
  }

  /// Placing the pages of one memory file, without making it a device memory: what one thread takes
  /// for it, and what the library's takes, which has others help it.
  static let populations = [false, true].map { hasHelp in
    BenchCase(
      hasHelp ? "populate_256M_threads" : "populate_256M",
      hasHelp
        ? "the same by a thread for each processor, as device memory is made"
        : "place 256 MiB of a memory file's base pages, by one thread",
      repeatLimit: 7, instructionRange: nil, comparedTo: hasHelp ? "populate_256M" : nil
    ) {
      let files = Files()
      let processors = try ProcessorSet.ofProcess().numbers.count
      return Loop(
        note: hasHelp ? "processors: \(processors)" : nil, tidy: { files.mappings = [] }
      ) { count in
        for _ in 0..<count {
          let file = try MemoryFile(name: "populate", byteCount: 256 << 20)
          let mapping = try file.map()
          try hasHelp ? mapping.populate(of: file) : mapping.populate(threadCount: 1)
          files.mappings.append(Mapping(mapping))
        }
        return count
      }
    }
  }

  /// Mappings whose pages are given back after a run, not in it.
  private final class Files {
    var mappings: [Mapping] = []
  }

  private final class Mapping {
    private let mapping: MemoryMapping
    init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
  }
}
