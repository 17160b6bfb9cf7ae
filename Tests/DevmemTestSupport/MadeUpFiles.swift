// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A folder with files of a machine that is made up, below which absolute paths are looked for.
public final class MadeUpFiles {
  /// The folder, without a slash at its end.
  public let root: String

  /// Makes a folder with files: path and text.
  public init(_ files: [String: String]) throws {
    root =
      FileManager.default.temporaryDirectory
      .appendingPathComponent("made-up-\(UUID().uuidString)").path
    for (path, text) in files {
      let url = URL(fileURLWithPath: root + path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }
}
