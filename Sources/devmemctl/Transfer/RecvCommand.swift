// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemNIC
import DevmemSystem
import DevmemVulkan

struct RecvCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recv",
    abstract: "Receive one connection into a dma-buf: netcat by device memory TCP or io_uring.",
    discussion: """
      Allocates a udmabuf, sets the network card up (header split, steering of the port to the \
      bound queues), binds the memory to the queues, and receives one connection. The card's \
      settings are put back at the end, also after an error, SIGINT and SIGTERM. Needs root.

      --wire tcp and --wire uring need no card: the kernel copies into buffers of a page pool, by \
      ordinary receives, or into buffers that it was lent. \
      --wire zcrx is io_uring's zero-copy receive: over a card as by device memory TCP, with one \
      queue; with --no-device over any interface, and the kernel copies into the dma-buf.

      The exit status is 0 only when the stream has come to its end, what was to be checked is as \
      it should be, and every buffer is back where it came from.
      """)

  @Option(
    help: """
      How the bytes come: devmem (device memory TCP), tcp (ordinary receives), uring (io_uring, \
      provided buffers), zcrx (io_uring, zero-copy receive).
      """)
  var wire: RecvWire = .devmem

  @Flag(help: "With --wire zcrx: without a network card, from any interface.")
  var noDevice = false

  @Flag(
    help: """
      With --wire zcrx over a card: give it the CPU mapping instead of the dma-buf, so that bytes \
      which it does not split are copied there.
      """)
  var cpuMapping = false

  @OptionGroup var transfer: TransferOptions

  @Option(help: ArgumentHelp("Address to listen on, IPv4 or IPv6.", valueName: "address"))
  var listen = "::"

  @Option(
    help: ArgumentHelp(
      "Receive queues to bind, separated by commas (default: the last).", valueName: "list"))
  var queues: QueueList?

  @Option(help: ArgumentHelp("Size of a receive buffer of the card.", valueName: "size"))
  var iovSize: ByteCount = ByteCount(PageSize.base4K.byteCount)

  @Option(help: ArgumentHelp("Stop after so many bytes (K, M, G).", valueName: "n"))
  var bytes: ByteCount?

  @Option(
    help: ArgumentHelp("Write the bytes to a file, or - for standard output.", valueName: "path"))
  var output: String?

  @Option(help: ArgumentHelp("Keep so many fragments before the first goes back.", valueName: "n"))
  var hold = 0

  @Flag(
    name: .customLong("validate"),
    help: "Compare every byte with the pattern that --period describes.")
  var comparesPattern = false

  @Flag(help: "Fail if payload comes outside of the dma-buf.")
  var failOnLinear = false

  @Option(
    help: ArgumentHelp(
      """
      Who reads the bytes instead of the processor: vulkan, or vulkan:DEVICE (a part of its name, \
      or its UUID). A shader takes their CRC-32.
      """, valueName: "device"))
  var into: VulkanTarget?

  @Option(
    help: ArgumentHelp(
      "Where the memory is from: udmabuf, or vulkan, the device of --into.", valueName: "name"))
  var memory: MemorySource = .udmabuf

  @Flag(help: "Leave the card's settings alone: header split and steering are set up already.")
  var noSetup = false

  func validate() throws {
    try transfer.validate()
    try TransferOptions.checkIOVSize(iovSize)
    try validateWire()
    // rx-page-size (Documentation/netlink/specs/netdev.yaml) is of pages.
    guard iovSize.value >= PageSize.base4K.byteCount else {
      throw ValidationError(
        "--iov-size \(iovSize): a card's buffers are not smaller than this kernel's pages:"
          + " use \(PageSize.base4K.byteCount >> 10)K or more.")
    }
    // No buffer has more fragments than bytes.
    guard (0...transfer.bufferSize.value).contains(hold) else {
      throw ValidationError("--hold \(hold): use 0 to the number of buffers in --buffer-size.")
    }
    if let bytes, bytes.value <= 0 {
      throw ValidationError("--bytes \(bytes): nothing to receive.")
    }
    try validateInto()
  }

  private func validateInto() throws {
    if into != nil, wire == .uring || wire == .zcrx && (noDevice || cpuMapping) {
      throw ValidationError(
        "--into: with --wire uring, --no-device and --cpu-mapping the processor may write into the"
          + " memory at any time; use --wire tcp, devmem, or zcrx over a card.")
    }
    if into == nil, memory == .vulkan {
      throw ValidationError("--memory vulkan: say which device with --into vulkan[:DEVICE].")
    }
    if into != nil, output != nil || comparesPattern || hold != 0 {
      throw ValidationError(
        "--into: the processor does not look at the bytes; leave --output, --validate and --hold"
          + " out.")
    }
  }

  /// What only some wires have.
  private func validateWire() throws {
    if noDevice && wire != .zcrx {
      throw ValidationError("--no-device: only --wire zcrx can do without what it is made for.")
    }
    let isOverCard = wire == .devmem || wire == .zcrx && !noDevice
    if isOverCard { _ = try transfer.requireInterface() }
    if wire == .zcrx, let queues, queues.queues.count > 1 {
      throw ValidationError("--queues \(queues.defaultValueDescription): --wire zcrx has one.")
    }
    if cpuMapping && (wire != .zcrx || noDevice) {
      throw ValidationError("--cpu-mapping: only for --wire zcrx over a card.")
    }
    if failOnLinear && wire == .zcrx {
      throw ValidationError(
        "--fail-on-linear: with --wire zcrx nothing comes outside of the dma-buf.")
    }
    if !isOverCard {
      let cards = [
        (queues != nil, "--queues"), (noSetup, "--no-setup"), (failOnLinear, "--fail-on-linear"),
      ]
      if let option = cards.first(where: \.0)?.1 {
        throw ValidationError("\(option): there are no queues of a card to receive from.")
      }
    }
    if wire == .zcrx && noDevice && iovSize.value != PageSize.base4K.byteCount {
      throw ValidationError(
        "--iov-size \(iovSize): without a card buffers are pages:"
          + " \(PageSize.base4K.byteCount >> 10)K.")
    }
  }

  func run() throws {
    try reportingErrors {
      try Interruption.observe()
      let report = try RecvRun.run(self)
      let terminal = output == "-" ? Terminal.error : Terminal.output
      if transfer.json {
        try terminal.writeLine(report.json.text)
      } else {
        try terminal.write(report.table)
      }
      for problem in report.problems { Terminal.error.noteLine("Error: \(problem)") }
      if !report.problems.isEmpty { throw ExitCode.failure }
    }
  }
}

/// "vulkan", "vulkan:llvmpipe", "vulkan:" and a UUID.
struct VulkanTarget: ExpressibleByArgument, Equatable {
  let choice: Vulkan.Choice

  init?(argument: String) {
    let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.first == "vulkan" else { return nil }
    choice = parts.count == 2 ? Vulkan.Choice(String(parts[1])) : .any
  }
}

/// Who makes the memory that is received into.
enum MemorySource: String, ExpressibleByArgument, CaseIterable {
  case udmabuf
  case vulkan
}

/// "7" or "2,3".
struct QueueList: ExpressibleByArgument, Equatable {
  let queues: [UInt32]

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let queues = parts.compactMap { UInt32($0) }
    guard queues.count == parts.count, Set(queues).count == queues.count else { return nil }
    self.queues = queues
  }

  var defaultValueDescription: String { queues.map(String.init).joined(separator: ",") }
}
