// SPDX-License-Identifier: Apache-2.0

internal import Devmem
public import DevmemSystem
internal import Glibc

/// What this process holds: open descriptors, mappings of files, claims on device memory.
///
/// All are of the whole process, so a comparison before and after means something only while
/// nothing else runs in it: compare inside an exit test, whose body has a process of its own.
public struct ResourceCount: Equatable, Sendable, CustomStringConvertible {
  /// What the open descriptors refer to (/proc/self/fd), sorted; without those of libdispatch's
  /// event loop, which starts when it likes.
  public let descriptors: [String]
  /// Bytes mapped of memory files, dma-bufs, huge pages and DRM cards: not the program's own files,
  /// nor what malloc maps as it likes.
  public let mappedByteCount: Int
  /// Claims of ``MemoryRegistry``.
  public let claimCount: Int

  /// Counts now.
  public static func now() throws(Errno) -> ResourceCount {
    var mappedByteCount = 0
    for line in try SystemFile.text(at: "/proc/self/maps").split(separator: "\n") {
      // start-end rights offset device inode path
      let fields = line.split(separator: " ", maxSplits: 5)
      let ends = fields[0].split(separator: "-").compactMap { Int($0, radix: 16) }
      let path = fields.count > 5 ? fields[5].drop { $0 == " " } : ""
      let marks = [
        "/memfd:", "/dmabuf", "/anon_hugepage", "/dev/dri/", "/drm mm object", "dmabuf:",
      ]
      if marks.contains(where: path.hasPrefix) { mappedByteCount += ends[1] - ends[0] }
    }
    return ResourceCount(
      descriptors: try openDescriptors(), mappedByteCount: mappedByteCount,
      claimCount: MemoryRegistry.claimCount)
  }

  private static func openDescriptors() throws(Errno) -> [String] {
    let eventLoop = ["anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"]
    return try SystemFile.names(in: "/proc/self/fd").compactMap { name -> String? in
      var target = [CChar](repeating: 0, count: 256)
      let count = unsafe readlink("/proc/self/fd/\(name)", &target, target.count)
      // The descriptor of the directory itself, which is closed by now.
      guard count > 0 else { return nil }
      return String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }.filter { !eventLoop.contains($0) }.sorted()
  }

  /// "7 descriptors (…), 8192 bytes mapped, 0 claims".
  public var description: String {
    "\(descriptors.count) descriptors (\(descriptors.joined(separator: " "))),"
      + " \(mappedByteCount) bytes mapped, \(claimCount) claims"
  }
}
