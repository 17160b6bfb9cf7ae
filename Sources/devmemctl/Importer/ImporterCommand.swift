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
    do {
      try Self.serve(UnixSocket(OwnedFileDescriptor(owning: socket)))
    } catch {
      throw ExitCode.failure
    }
  }

  /// From the dma-buf to the SHA-256 of all that was read in it. Who lends it learns of a failure.
  static func serve(_ connection: UnixSocket) throws {
    var reader = try FragmentReader(over: connection)
    do {
      var hash = SHA256()
      while try reader.readBatch({ bytes in
        unsafe bytes.withUnsafeBytes { unsafe hash.update($0) }
      }) {}
      let buffer = reader.buffer
      let outcome = buffer.isExported ? DRMImport.attempt(buffer) : DRMImport.noDevice
      try reader.finish(hash.finalize() + outcome.utf8.prefix(4096))
    } catch {
      reader.fail("\(error)")
      throw error
    }
  }
}
