// SPDX-License-Identifier: Apache-2.0

public import Devmem

extension PayloadFragment {
  /// How the bytes came to where they are.
  public var placement: Placement {
    switch storage {
    case .netmem: isLinear ? .linear : .pool
    case .device: .device
    }
  }

  /// Whether the bytes lie in host or in device memory.
  public var kind: Netmem.Kind {
    switch storage {
    case .netmem(let netmem): netmem.kind
    case .device: .device
    }
  }

  /// Where the bytes begin, in bytes from the start of their dma-buf or mapping, as
  /// `Netmem.offset`: what another process that has imported the dma-buf needs to find them.
  public var offset: UInt64 {
    switch storage {
    case .netmem(let netmem): netmem.offset + UInt64(start)
    case .device: UInt64(start)
    }
  }

  /// Where a device finds the bytes. For ``Placement/device`` an offset in the dma-buf: what the
  /// network card's own address for it is, only the kernel knows.
  public var deviceAddress: DeviceAddress {
    switch storage {
    case .netmem(let netmem): netmem.deviceAddress.advanced(by: start)
    case .device: DeviceAddress(UInt64(start), kind: .bufferOffset)
    }
  }

  /// Whether the CPU may read the bytes right now: always in host memory; in device memory when it
  /// has a CPU mapping and a bracket that allows reading is open.
  public var isReadable: Bool {
    switch storage {
    case .netmem(let netmem): netmem.isReadable
    case .device(let fragment): fragment.returns.isReadable
    }
  }

  /// The address of the first byte for this CPU, nil where there is none. For system calls that
  /// take an iovec; ``withBytes(_:)`` is the way to look at the bytes.
  ///
  /// Unsafe: valid only while this fragment lives, and nothing checks that an access bracket is
  /// open.
  @unsafe
  public var cpuAddress: UnsafeMutableRawPointer? {
    switch storage {
    case .netmem(let netmem):
      guard let base = unsafe netmem.cpuAddress else { return nil }
      return unsafe base + start
    case .device(let fragment):
      guard let base = unsafe fragment.returns.cpuBase else { return nil }
      return unsafe base + start
    }
  }

  /// Reads the fragment's bytes.
  /// - Throws: `NetmemError.unreadable(_:)` when the CPU cannot read the memory or no bracket for
  ///   reading is open (`DMABuf.withCPUAccess(_:_:)`); otherwise what `body` throws.
  public func withBytes<Result: ~Copyable>(
    _ body: (RawSpan) throws -> Result
  ) throws -> Result {
    guard let address = unsafe cpuAddress else { throw NetmemError.unreadable(.noCPUMapping) }
    guard isReadable else { throw NetmemError.unreadable(.outsideCPUAccess) }
    return try body(unsafe RawSpan(_unsafeStart: address, byteCount: byteCount))
  }
}
