// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool

/// Holds a buffer where Swift wants something that can be copied: in an array, in a closure.
package final class Held: @unchecked Sendable {
  private var netmem: Netmem?

  package init(_ netmem: consuming Netmem) { self.netmem = consume netmem }

  /// Takes the buffer out; nil the second time.
  package func take() -> Netmem? { netmem.take() }

  /// Takes the buffer out, or fails the test if that was done before.
  package func taken() throws -> Netmem {
    guard let netmem = take() else { throw NoBuffer() }
    return netmem
  }

  /// Lets the buffer die, on the calling thread.
  package func drop() { netmem = nil }

  /// Looks at the buffer, which must not have been taken.
  package func with<Result: ~Copyable>(_ body: (borrowing Netmem) throws -> Result) rethrows
    -> Result
  {
    switch netmem {
    case .some(let netmem): return try body(netmem)
    case .none: fatalError("the buffer was taken before")
    }
  }

  /// Writes the buffer, which must not have been taken.
  package func withMutable<Result: ~Copyable>(_ body: (inout Netmem) throws -> Result) rethrows
    -> Result
  {
    guard var taken = netmem.take() else { fatalError("the buffer was taken before") }
    do {
      let result = try body(&taken)
      netmem = consume taken
      return result
    } catch {
      netmem = consume taken
      throw error
    }
  }
}
