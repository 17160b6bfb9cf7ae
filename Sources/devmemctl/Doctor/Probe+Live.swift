// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import Glibc

extension Probe {
  /// The machine that we run on.
  static func live() -> Probe {
    Probe(
      files: FileTree(), kernelRelease: currentKernelRelease(), isRoot: geteuid() == 0,
      limits: Limits(
        lockedByteCount: softLimit(__RLIMIT_MEMLOCK),
        openFileCount: softLimit(RLIMIT_NOFILE)),
      openError: { path in
        let descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return nil
      },
      drmDriver: { _ in nil },
      tryExporter: { _ in nil },
      bindReceiveCommand: NetdevFamily.bindReceiveSupport,
      xdpSocketError: {
        // AF_XDP, which Debian 12's libc knows and Swift's overlay does not.
        let descriptor = socket(44, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return nil
      })
  }

  private static func softLimit(_ resource: __rlimit_resource) -> Int? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur != rlim_t.max else { return nil }
    return Int(clamping: limit.rlim_cur)
  }
}

/// `uname -r`.
func currentKernelRelease() -> String {
  var name = utsname()
  guard unsafe uname(&name) == 0 else { return "unknown" }
  return unsafe withUnsafeBytes(of: &name.release) { bytes in
    unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
