// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemNIC
import DevmemSystem

/// What `recv` and `send` have in common.
struct TransferOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The network card; where none is needed, the interface that is used.", valueName: "name"))
  var interface: String?

  @Option(help: ArgumentHelp("TCP port.", valueName: "n"))
  var port: UInt16 = 5201

  @Option(help: ArgumentHelp("Size of the dma-buf (K, M, G).", valueName: "size"))
  var bufferSize: ByteCount = ByteCount(64 << 20)

  @Option(
    help: ArgumentHelp(
      """
      Bytes of the pattern that repeats: 1, 2, … n-1, newline, as `ncdevmem -v n` checks it.
      """, valueName: "n"))
  var period = 7

  @Flag(help: "Print one JSON object on the last line of standard output.")
  var json = false

  func validate() throws {
    let page = PageSize.base4K.byteCount
    guard (1...Self.byteCountLimit).contains(bufferSize.value), bufferSize.value % page == 0 else {
      throw ValidationError(
        "--buffer-size \(bufferSize): use a multiple of \(page >> 10)K, up to"
          + " \(ByteCount(Self.byteCountLimit)).")
    }
    guard (2...255).contains(period) else {
      throw ValidationError("--period \(period): use 2 to 255.")
    }
  }

  /// The card, where there has to be one.
  func requireInterface() throws(ValidationError) -> String {
    guard let interface else {
      throw ValidationError(
        "Missing expected argument '--interface <name>': the network card (ip -br link).")
    }
    return interface
  }

  /// More than any machine has, and little enough to calculate with.
  static let byteCountLimit = 1 << 50

  static func checkIOVSize(_ size: ByteCount) throws {
    guard (4096...2 << 20).contains(size.value), size.value & (size.value - 1) == 0 else {
      throw ValidationError("--iov-size \(size): use a power of two from 4K to 2M.")
    }
  }

  /// A udmabuf; of huge pages where IOVs are larger than a page, because each has to be contiguous.
  func makeBuffer(iovByteCount: Int, name: String) throws(DevmemError) -> DMABuf {
    guard iovByteCount > PageSize.base4K.byteCount else {
      return try DMABuf.udmabuf(byteCount: bufferSize.value, name: name)
    }
    let page = PageSize.huge2M.byteCount
    return try DMABuf.udmabuf(
      byteCount: (bufferSize.value + page - 1) / page * page, pageSize: .huge2M, name: name)
  }
}

/// Lines for people, aligned.
func transferTable(_ rows: [(String, String)]) -> String {
  let width = rows.map(\.0.count).max() ?? 0
  return rows.map { name, value in
    name + String(repeating: " ", count: width - name.count + 2) + value + "\n"
  }.joined()
}
