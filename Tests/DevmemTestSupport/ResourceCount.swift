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
  /// Bytes mapped of memory files, dma-bufs, huge pages, DRM cards and rings: not the program's own
  /// files, nor what malloc maps as it likes.
  public let mappedByteCount: Int
  /// Claims of ``MemoryRegistry``.
  public let claimCount: Int

  /// Counts now.
  public static func now() throws(Errno) -> ResourceCount {
    return ResourceCount(
      descriptors: try openDescriptors(), mappedByteCount: try mappedBytes(),
      claimCount: MemoryRegistry.claimCount)
  }

  /// By libc's string functions: debug builds under emulation do this thousands of times.
  private static func mappedBytes() throws(Errno) -> Int {
    guard let maps = unsafe fopen("/proc/self/maps", "re") else { throw .ENOENT }
    defer { unsafe fclose(maps) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { unsafe free(line) }
    let marks = [
      " /memfd:", "/dmabuf", "/anon_hugepage", "/dev/dri/", "/drm mm object", "dmabuf:",
      "anon_inode:[io_uring]",
    ]
    var byteCount = 0
    while unsafe getline(&line, &capacity, maps) > 0 {
      guard let text = unsafe line, marks.contains(where: { unsafe strstr(text, $0) != nil })
      else { continue }
      // start-end rights offset device inode path
      var rest: UnsafeMutablePointer<CChar>?
      let start = unsafe strtoul(text, &rest, 16)
      let end = unsafe strtoul(rest! + 1, nil, 16)
      byteCount += Int(end - start)
    }
    return byteCount
  }

  private static func openDescriptors() throws(Errno) -> [String] {
    let eventLoop = ["anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"]
    return try SystemFile.names(in: "/proc/self/fd").compactMap { name -> String? in
      var target = [CChar](repeating: 0, count: 256)
      let count = unsafe readlink("/proc/self/fd/\(name)", &target, target.count)
      // The descriptor of the directory itself, which is closed by now.
      guard count > 0 else { return nil }
      return String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }.filter { target in
      // libdispatch looks at its threads' states (/proc/PID/…/stat) when it likes.
      !eventLoop.contains(target) && !(target.hasPrefix("/proc/") && target.hasSuffix("/stat"))
    }.sorted()
  }

  /// "7 descriptors (…), 8192 bytes mapped, 0 claims".
  public var description: String {
    "\(descriptors.count) descriptors (\(descriptors.joined(separator: " "))),"
      + " \(mappedByteCount) bytes mapped, \(claimCount) claims"
  }
}
