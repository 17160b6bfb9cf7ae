// SPDX-License-Identifier: Apache-2.0

public import DevmemPagePool

/// The pool had no buffer where a test needs one.
public struct NoBuffer: Error {}

extension PagePool {
  /// A buffer, or an error that fails the test. (`#require` cannot take what cannot be copied.)
  public func take() throws -> Netmem {
    guard let netmem = allocate() else { throw NoBuffer() }
    return netmem
  }

  /// Whether an allocation gets a buffer; it goes back at once.
  public func canAllocate() -> Bool { allocate() != nil }
}
