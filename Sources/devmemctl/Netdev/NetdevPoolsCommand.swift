// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemNIC

struct NetdevPoolsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pools",
    abstract: "The kernel's page pools, with the counters that this library's pools have as well.",
    discussion: """
      The counters have the names that `devmemctl demo` prints of its own pools, so that the two \
      can be read side by side. Needs no privilege.
      """)

  @Argument(help: "Only this interface.")
  var interface: String?

  @Flag(help: "Print what happens to pools and interfaces, a line each, until interrupted.")
  var follow = false

  @Flag(help: "Print one JSON object on the last line of standard output (with --follow, on each).")
  var json = false

  func run() throws {
    try reportingErrors {
      // Before the list is read, so that nothing happens unseen in between.
      var notifications = follow ? try NetdevNotifications() : nil
      let wanted = try interface.map { try NetworkInterface(named: $0) }
      let listing = try PoolListing(of: wanted)
      if json {
        try Terminal.output.writeLine(listing.json.text)
      } else {
        try Terminal.output.write(listing.table(for: .output))
      }
      while true {
        guard let event = try notifications?.next(milliseconds: -1) else { return }
        if let wanted, event.interfaceIndex != wanted.index { continue }
        try Terminal.output.writeLine(json ? event.json.text : event.line)
      }
    }
  }
}
