// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The file system as the doctor sees it: absolute paths below a root that tests can replace.
struct FileTree: Sendable {
  /// "" for the real one; otherwise a folder without a trailing slash.
  let root: String

  init(root: String = "") { self.root = root }

  /// The whole content of a small file; nil when it can't be read.
  func text(_ path: String) -> String? {
    let descriptor = unsafe open(root + path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var content: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = unsafe block.withUnsafeMutableBytes { bytes in
        unsafe read(descriptor, bytes.baseAddress, bytes.count)
      }
      if count < 0 && errno == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { return String(decoding: content, as: UTF8.self) }
      content += block[..<count]
    }
  }

  /// The first line without white space around it; what files in sysfs hold.
  func value(_ path: String) -> String? {
    guard let line = text(path)?.split(separator: "\n", omittingEmptySubsequences: false).first
    else { return nil }
    let end = line.lastIndex { !$0.isWhitespace }.map(line.index(after:)) ?? line.startIndex
    return String(line[..<end].drop(while: \.isWhitespace))
  }

  func integer(_ path: String) -> Int? { value(path).flatMap { Int($0) } }

  /// Names in a folder, sorted, without dot files; empty when there is no such folder.
  func entries(_ path: String) -> [String] {
    guard let folder = unsafe opendir(root + path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { characters in
          unsafe String(cString: characters)
        }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  func exists(_ path: String) -> Bool { unsafe access(root + path, F_OK) == 0 }

  /// The last component of what a symbolic link points to; nil when `path` is no link.
  func linkName(_ path: String) -> String? {
    var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe target.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return -1 }
      return unsafe readlink(
        root + path, start.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    guard count > 0 else { return nil }
    return String(decoding: target[..<count], as: UTF8.self).split(separator: "/").last.map(
      String.init)
  }
}
