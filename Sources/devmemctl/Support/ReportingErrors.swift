// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// Runs a subcommand's work; an error becomes a line on standard error and exit status 1.
func reportingErrors(_ body: () throws -> Void) throws {
  do {
    try body()
  } catch let error as ExitCode {
    throw error
  } catch {
    Terminal.error.writeLine("Error: \(error)")
    throw ExitCode.failure
  }
}
