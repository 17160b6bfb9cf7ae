// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

@main
struct Devmemctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devmemctl",
    abstract: "Device memory for networking, on real dma-bufs.",
    subcommands: [
      BenchCommand.self, DemoCommand.self, DoctorCommand.self, NetdevCommand.self,
      RecvCommand.self, SendCommand.self, ImporterCommand.self, NICGuardCommand.self,
    ])
}
