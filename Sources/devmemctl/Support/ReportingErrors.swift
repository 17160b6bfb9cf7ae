// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import DevmemSystem

/// Runs a subcommand's work; an error becomes a line on standard error and exit status 1.
func reportingErrors(_ body: () throws -> Void) throws {
  do {
    try body()
  } catch let error as ExitCode {
    throw error
  } catch let error as ValidationError {
    throw error
  } catch let error as Errno {
    // Every call is to say what it was for; this is for the one that was forgotten.
    Terminal.error.noteLine("Error: \(CommandError("a system call of this command", error))")
    throw ExitCode.failure
  } catch {
    Terminal.error.noteLine("Error: \(error)")
    throw ExitCode.failure
  }
}
