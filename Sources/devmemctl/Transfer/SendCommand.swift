// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemNIC
import DevmemSystem

struct SendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "send",
    abstract: "Send one connection out of a dma-buf: netcat by device memory TCP.",
    discussion: """
      Allocates a udmabuf, binds it to the network card for sending, carves it with a page pool, \
      and sends a file, standard input or a pattern out of it. The peer may be devmemctl recv, \
      the kernel's ncdevmem, or any TCP program. --wire uring and --wire tcp need no card that can.

      The exit status is 0 only when all bytes are sent, the kernel has said of every call that \
      it is done, and every buffer is back in its pool.
      """)

  @OptionGroup var transfer: TransferOptions

  @Option(
    help: """
      How the bytes go: devmem (device memory TCP), uring (io_uring, without copies where the card \
      can), tcp (ordinary sends, which copy).
      """)
  var wire: SendWire = .devmem

  @Argument(help: ArgumentHelp("Address to connect to, IPv4 or IPv6.", valueName: "address"))
  var address: String

  @Option(help: ArgumentHelp("Address to connect from.", valueName: "address"))
  var from: String?

  @Option(help: ArgumentHelp("Send this file (- is standard input).", valueName: "path"))
  var input: String?

  @Option(
    help: ArgumentHelp(
      "Send so many bytes (K, M, G): of the pattern, or at most of --input.", valueName: "n"))
  var bytes: ByteCount?

  @Option(help: ArgumentHelp("Size of an IOV: a power of two, 4K to 2M.", valueName: "size"))
  var iovSize: ByteCount = ByteCount(4096)

  @Option(help: ArgumentHelp("Bytes of one sendmsg.", valueName: "size"))
  var packetSize: ByteCount = ByteCount(256 << 10)

  @Option(help: ArgumentHelp("Try to connect for so many seconds.", valueName: "n"))
  var connectTimeout = 0

  @Flag(
    name: .customLong("crc32"),
    help: "Take the CRC-32 of what is sent as well: what recv --into vulkan prints.")
  var takesCRC32 = false

  func validate() throws {
    try transfer.validate()
    if wire == .devmem { _ = try transfer.requireInterface() }
    try TransferOptions.checkIOVSize(iovSize)
    guard input != nil || bytes != nil else {
      throw ValidationError("Say what to send: --input (- is standard input), or --bytes.")
    }
    if let bytes, bytes.value <= 0 { throw ValidationError("--bytes \(bytes): nothing to send.") }
    guard packetSize.value > 0, (packetSize.value - 1) / iovSize.value < 1024 else {
      throw ValidationError("--packet-size \(packetSize): use 1 to 1024 IOVs.")
    }
    guard packetSize.value <= transfer.bufferSize.value else {
      throw ValidationError("--packet-size \(packetSize): more than --buffer-size.")
    }
    guard (0...86_400).contains(connectTimeout) else {
      throw ValidationError("--connect-timeout \(connectTimeout): use 0 to 86400 seconds.")
    }
  }

  func run() throws {
    try reportingErrors {
      try Interruption.observe()
      let report = try SendRun.run(self)
      if transfer.json {
        try Terminal.output.writeLine(report.json.text)
      } else {
        try Terminal.output.write(report.table)
      }
      for problem in report.problems { Terminal.error.noteLine("Error: \(problem)") }
      if !report.problems.isEmpty { throw ExitCode.failure }
    }
  }
}
