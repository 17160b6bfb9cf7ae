// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check every precondition, each with a command that fixes it, or advice.",
    discussion: "The exit status is 0 only when the demo, as it is by default, would end with 0.")

  @Flag(help: "Print one JSON object on the last line of standard output.")
  var json = false

  func run() throws {
    try reportingErrors {
      let report = DoctorReport(.live())
      if json {
        try Terminal.output.writeLine(report.json.text)
      } else {
        try Terminal.output.write(report.table(for: .output))
      }
      if !report.canRunDemo { throw ExitCode.failure }
    }
  }
}
