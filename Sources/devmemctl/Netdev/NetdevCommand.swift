// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct NetdevCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "netdev",
    abstract:
      "Network cards and device memory: what can bind, the kernel's pools, a binding, settings.",
    subcommands: [
      NetdevListCommand.self, NetdevPoolsCommand.self, NetdevBindCommand.self,
      NetdevSetupCommand.self, NetdevRestoreCommand.self,
    ])
}
