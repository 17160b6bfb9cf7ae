// SPDX-License-Identifier: Apache-2.0

package import DevmemPagePool

/// The pool had no buffer where a test needs one.
package struct NoBuffer: Error {
  package init() {}
}

extension PagePool {
  /// A buffer, or an error that fails the test. (`#require` cannot take what cannot be copied.)
  package func take(_ priority: Priority = .normal) throws -> Netmem {
    guard let netmem = allocate(priority) else { throw NoBuffer() }
    return netmem
  }

  /// Whether an allocation gets a buffer; it goes back at once.
  package func canAllocate() -> Bool { allocate() != nil }
}

extension SharedPagePool {
  /// A buffer, or an error that fails the test.
  package func take() throws -> Netmem {
    guard let netmem = allocate() else { throw NoBuffer() }
    return netmem
  }

  /// Whether an allocation gets a buffer; it goes back at once.
  package func canAllocate(_ priority: PagePool.Priority = .normal) -> Bool {
    allocate(priority) != nil
  }
}
