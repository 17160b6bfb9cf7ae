// SPDX-License-Identifier: Apache-2.0

extension GenPool {
  /// Where in a chunk an allocation goes (`genpool_algo_t`). Every strategy looks at the chunks
  /// from the newest to the oldest and takes the first one in which it finds a place; only then
  /// does it choose the place.
  public enum Strategy: Equatable, Sendable {
    /// The lowest place that is large enough (`gen_pool_first_fit`).
    case firstFit

    /// The start of the smallest free run that is large enough, the lowest of equals; a run of
    /// exactly the size ends the search (`gen_pool_best_fit`).
    case bestFit

    /// The lowest place whose *address* is a multiple of this many bytes
    /// (`gen_pool_first_fit_align`). A power of two; anything else fits nowhere.
    case firstFitAligned(to: Int)

    /// The lowest place whose *index in the chunk* is a multiple of the size in granules, rounded
    /// up to a power of two (`gen_pool_first_fit_order_align`). The address is as aligned as that
    /// only if the chunk's base is.
    case firstFitOrderAligned

    /// Exactly this many bytes behind a chunk's base (`gen_pool_fixed_alloc`). A multiple of the
    /// granule and not negative; anything else fits nowhere.
    case fixedOffset(Int)
  }
}
