// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemNIC
import DevmemSystem
import Glibc

struct NetdevBindCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bind",
    abstract: "Bind a new dma-buf to a network card, for other programs, until interrupted.",
    discussion: """
      Sets the card up (header/data split, channels, receive side scaling, steering rules), makes \
      a udmabuf, binds it and prints the binding's number. With --socket every program of the \
      same user, or of those that --allow-user and --allow-group name, that connects gets the \
      dma-buf's descriptor (SCM_RIGHTS) with one line of JSON, as a SOCK_SEQPACKET message. \
      Whoever has it reads and writes what the card receives, and keeps the memory also after the \
      binding's end. On SIGINT, SIGTERM or SIGHUP the memory is unbound and the card put back as \
      it was; also when this program is killed, because a second one sees to it.
      """)

  @Argument(help: "The network card, such as eth0.")
  var interface: String

  @Option(help: ArgumentHelp("Size of the dma-buf (K, M, G).", valueName: "n"))
  var bytes: ByteCount = ByteCount(64 << 20)

  @OptionGroup var card: CardOptions

  @Flag(help: "Bind for sending instead of receiving; the card's settings stay as they are.")
  var send = false

  @Option(help: ArgumentHelp("Size of a receive buffer, above 4K.", valueName: "size"))
  var rxPageSize: ByteCount?

  @Option(help: ArgumentHelp("Pages beneath: the kernel's (4K), or 2M.", valueName: "size"))
  var pageSize: ByteCount = ByteCount(PageSize.base4K.byteCount)

  @Option(help: ArgumentHelp("Hand the dma-buf out at this Unix socket.", valueName: "path"))
  var socket: String?

  @Option(
    help: ArgumentHelp(
      "Who else may have it from there: a user's name or number; may be repeated.",
      valueName: "user"))
  var allowUser: [String] = []

  @Option(help: ArgumentHelp("As --allow-user: a group.", valueName: "group"))
  var allowGroup: [String] = []

  @Flag(help: "Leave the card's settings alone: they are as a receiver needs them.")
  var noSetup = false

  @Flag(help: "Print one JSON object when the memory is bound.")
  var json = false

  func validate() throws {
    _ = try PageSize(option: pageSize)
    guard (1...TransferOptions.byteCountLimit).contains(bytes.value) else {
      throw ValidationError(
        "--bytes \(bytes): use 1 to \(ByteCount(TransferOptions.byteCountLimit)).")
    }
    if let rxPageSize, !(1...1 << 31).contains(rxPageSize.value) {
      throw ValidationError("--rx-page-size \(rxPageSize): use 4K to 2G.")
    }
    if send, card.queues != nil || !card.port.isEmpty || rxPageSize != nil {
      throw ValidationError("--send takes neither --queues nor --port nor --rx-page-size.")
    }
  }

  func run() throws {
    try reportingErrors {
      try Interruption.observe()
      let admission = try DescriptorServer.Admission(users: allowUser, groups: allowGroup)
      let interface = try NetworkInterface(named: interface)
      // Before memory is made for it.
      if send {
        try NICCapabilities.requireTransmit(on: interface)
      } else {
        try NICCapabilities.requireReceive(on: interface)
      }
      let queues = try send ? [] : card.queues?.queues ?? NICSetup.lastQueues(1, of: interface)
      let buffer = try DMABuf.udmabuf(
        byteCount: bytes.value, pageSize: PageSize(option: pageSize), name: "devmemctl-bind")
      let cardGuard =
        try send || noSetup ? nil : NICGuard(interface, queues: queues, rules: card.rules(queues))
      cardGuard?.noteWarnings()
      try NICGuard.keeping(cardGuard) {
        let binding = try bind(buffer, interface, queues)
        // Bound memory pins the card's settings.
        defer { binding.close() }
        let server = try socket.map {
          try DescriptorServer(path: $0, buffer, Self.json(binding), admission: admission)
        }
        defer { server?.close() }
        try announce(binding, cardGuard)
        try waitForEnd(cardGuard)
      }
    }
  }

  /// Waits for a signal. The end of the process that keeps the card ends this as well: nobody would
  /// put the card back any more.
  private func waitForEnd(_ cardGuard: NICGuard?) throws {
    do {
      // A negative number is passed over: then there is nothing to wait for but signals.
      try Interruption.wait(for: cardGuard?.descriptor ?? -1, Int16(POLLIN))
    } catch {
      guard Interruption.received == nil else { return }
      throw error
    }
  }

  private func bind(
    _ buffer: DMABuf, _ interface: NetworkInterface, _ queues: [UInt32]
  ) throws(DevmemError) -> NetdevBinding {
    if send { return try NetdevBinding.transmit(buffer, interface: interface) }
    return try NetdevBinding.receive(
      buffer, interface: interface, queues: queues, rxPageByteCount: rxPageSize?.value)
  }

  private func announce(_ binding: NetdevBinding, _ cardGuard: NICGuard?) throws(CommandError) {
    if json { return try Terminal.output.writeLine(Self.json(binding).text) }
    var text = "dmabuf id \(binding.id): \(ByteCount(binding.buffer.byteCount)) bound to "
    switch binding.direction {
    case .transmit: text += "\(binding.interface) for sending"
    case .receive(let queues):
      text +=
        "receive queue\(queues.count == 1 ? "" : "s")"
        + " \(queues.map(String.init).joined(separator: ", ")) of \(binding.interface)"
    }
    try Terminal.output.writeLine(text)
    if let socket { try Terminal.output.writeLine("descriptor at \(socket)") }
    try Terminal.output.writeLine("Ctrl-C unbinds and puts the card back.")
    if let cardGuard {
      Terminal.error.noteLine(
        "If it is killed with its second process: \(cardGuard.restoreCommand)")
    }
  }

  static func json(_ binding: NetdevBinding) -> JSONValue {
    let queues: [UInt32]
    switch binding.direction {
    case .transmit: queues = []
    case .receive(let bound): queues = bound
    }
    return .object([
      ("dmabuf", .integer(Int(binding.id))), ("interface", .string(binding.interface.name)),
      ("direction", .string(binding.direction == .transmit ? "send" : "receive")),
      ("queues", .array(queues.map { .integer(Int($0)) })),
      ("byteCount", .integer(binding.buffer.byteCount)),
      ("exporter", .string("\(binding.buffer.exporter)")),
    ])
  }
}
