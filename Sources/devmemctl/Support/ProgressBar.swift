// SPDX-License-Identifier: Apache-2.0

/// A bar on standard error for transfers that take long, only where a person is watching.
struct ProgressBar: ~Copyable {
  private let total: Int
  private let started = ContinuousClock.now
  private var lastDrawn = ContinuousClock.now
  private let isShown: Bool
  private var isDrawn = false

  init(total: Int, isShown: Bool = Terminal.error.isInteractive) {
    self.total = max(total, 1)
    self.isShown = isShown
  }

  /// Draws at most ten times a second, and nothing in the first half second.
  mutating func update(_ done: Int) {
    guard isShown else { return }
    let now = ContinuousClock.now
    guard now - started > .milliseconds(500), now - lastDrawn > .milliseconds(100) else { return }
    lastDrawn = now
    isDrawn = true
    Terminal.error.note("\r" + Self.line(done: done, total: total))
  }

  /// Takes the bar away, so that what follows begins on a clean line.
  mutating func finish() {
    if isDrawn { Terminal.error.note("\r\u{1B}[K") }
    isDrawn = false
  }

  static func line(done: Int, total: Int) -> String {
    let width = 40
    let fraction = min(max(Double(done) / Double(total), 0), 1)
    let full = Int(fraction * Double(width))
    let bar = String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
    return "[\(bar)] \(Int(fraction * 100)) %  \(ByteCount(done)) of \(ByteCount(total))"
  }
}
