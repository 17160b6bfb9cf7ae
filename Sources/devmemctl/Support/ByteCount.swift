// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem

/// A size given by a person: a number of bytes with an optional binary suffix (4096, 64K, 2M, 1G).
struct ByteCount: Sendable, Equatable, ExpressibleByArgument {
  var value: Int

  init(_ value: Int) { self.value = value }

  /// Nil for anything but digits and one of K, M, G (1024-based; a trailing `iB` or `B` is fine),
  /// and for what does not fit in an `Int`.
  init?(argument: String) {
    var text = argument.uppercased()[...]
    if text.hasSuffix("IB") {
      text = text.dropLast(2)
    } else if text.hasSuffix("B") {
      text = text.dropLast()
    }
    let shift: Int
    switch text.last {
    case "K": shift = 10
    case "M": shift = 20
    case "G": shift = 30
    default: shift = 0
    }
    if shift > 0 { text = text.dropLast() }
    guard text.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(text) else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { return nil }
    value = bytes
  }

  var defaultValueDescription: String { description }
}

extension ByteCount: CustomStringConvertible {
  /// The largest unit that leaves at most one decimal: `64 KiB`, `1.5 MiB`, `17 bytes`.
  var description: String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] where value >= 1 << shift {
      // Not by multiplying the whole, which overflows near the largest Int.
      let tenths = (value >> shift) * 10 + ((value & (1 << shift - 1)) * 10) >> shift
      return tenths % 10 == 0 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return value == 1 ? "1 byte" : "\(value) bytes"
  }
}

extension PageSize {
  /// The pages that a person means who gives their size.
  init(option byteCount: ByteCount) throws {
    switch byteCount.value {
    case PageSize.base4K.byteCount: self = .base4K
    case PageSize.huge2M.byteCount: self = .huge2M
    default:
      throw ValidationError(
        "--page-size \(byteCount): this kernel's pages are of \(PageSize.base4K.byteCount >> 10)K"
          + " or 2M.")
    }
  }
}
