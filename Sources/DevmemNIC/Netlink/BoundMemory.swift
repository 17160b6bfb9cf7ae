// SPDX-License-Identifier: Apache-2.0

package import Devmem

/// The claim on the bytes that a network device writes to: held by the binding, and by the
/// fragments that outlive it.
package final class BoundMemory: Sendable {
  private let claim: MemoryClaim

  /// Takes a claim over.
  package init(_ claim: consuming MemoryClaim) { self.claim = claim }
}
