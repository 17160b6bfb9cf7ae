// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Devmem
import DevmemSystem
import Glibc

/// The second process of the demo. It shares nothing with the first but a Unix socket, over which
/// it gets the dma-buf's descriptor.
struct ImporterCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "importer", abstract: "Serve the demo (internal).", shouldDisplay: false)

  @Option(help: "The descriptor of the connected Unix socket.")
  var socket: Int32

  func validate() throws {
    guard socket >= 0, fcntl(socket, F_GETFD) >= 0 else {
      throw ValidationError("descriptor \(socket) is not open: the demo starts this by itself")
    }
  }

  func run() throws {
    // However the demo ends (Ctrl-C, kill -9), its end of the socket closes, and so do we.
    let connection = UnixSocket(OwnedFileDescriptor(owning: socket))
    do {
      try Self.serve(connection)
    } catch {
      var message = MessageBuffer()
      message.begin()
      for byte in "\(error)".utf8.prefix(4096) { message.append(byte) }
      message.finish(MessageHeader(.failure, count: message.byteCount))
      try? message.send(over: connection)
      throw ExitCode.failure
    }
  }

  /// From the hello to the result.
  static func serve(_ connection: UnixSocket) throws {
    var message = MessageBuffer()
    let buffer: DMABuf
    switch try message.receiveWithDescriptor(from: connection) {
    case .some(let descriptor):
      guard let header = message.header, header.message == .hello else {
        throw CommandError("the first message on the importer's socket is not a hello")
      }
      buffer =
        header.flag == 1
        ? try DMABuf.imported(descriptor) : try DMABuf.importedMemoryFile(descriptor)
    case .none:
      throw CommandError("the demo sent no descriptor")
    }
    message.begin()
    message.finish(MessageHeader(.ready, count: 0))
    try message.send(over: connection)

    let digest = try FragmentReader(
      socket: connection, memory: ImportedMemory(buffer: buffer)
    ).run()

    let outcome = buffer.isExported ? DRMImport.attempt(buffer) : DRMImport.noDevice
    message.begin()
    for byte in digest { message.append(byte) }
    for byte in outcome.utf8.prefix(4096) { message.append(byte) }
    message.finish(MessageHeader(.result, count: message.byteCount))
    try message.send(over: connection)
  }
}
