// SPDX-License-Identifier: Apache-2.0

public import DevmemSystem

/// What this process holds of the kernel's: open descriptors and mappings.
///
/// Both are of the whole process, so a comparison before and after means something only while
/// nothing else runs in it: compare inside an exit test, whose body has a process of its own.
public struct ResourceCount: Equatable, Sendable, CustomStringConvertible {
  /// Open file descriptors (/proc/self/fd).
  public let descriptorCount: Int
  /// Mappings of files: memory files, dma-bufs, huge pages (/proc/self/maps, without the program's
  /// own files and without plain anonymous memory, which malloc maps as it likes).
  public let fileMappingCount: Int

  /// Counts now.
  public static func now() throws(Errno) -> ResourceCount {
    // The descriptor of the directory itself is among the names, before and after alike.
    let descriptorCount = try SystemFile.names(in: "/proc/self/fd").count
    let maps = try SystemFile.text(at: "/proc/self/maps")
    let fileMappingCount = maps.split(separator: "\n").count { line in
      line.contains("/memfd:") || line.contains("/dmabuf:") || line.contains("/anon_hugepage")
        || line.contains("/dev/dri/") || line.contains("/drm mm object")
    }
    return ResourceCount(descriptorCount: descriptorCount, fileMappingCount: fileMappingCount)
  }

  /// "7 descriptors, 2 file mappings".
  public var description: String {
    "\(descriptorCount) descriptors, \(fileMappingCount) file mappings"
  }
}
