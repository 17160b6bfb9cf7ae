// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemNIC
import DevmemSystem
import DevmemURing
import Glibc

extension Probe {
  /// The machine that we run on.
  static func live() -> Probe {
    Probe(
      program: CommandLine.arguments.first ?? "devmemctl", files: FileTree(),
      kernelRelease: currentKernelRelease(),
      isRoot: SystemProcess.effectiveUser == 0,
      limits: Limits(
        lockedByteCount: (try? SystemProcess.lockedByteLimit()) ?? nil,
        openFileCount: (try? SystemProcess.openFileLimit()) ?? nil),
      openError: { path in
        let descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return nil
      },
      drmDriver: { try? DRMDevice(path: $0).driverName },
      tryExporter: devmemctl.tryExporter,
      bindReceiveCommand: {
        do throws(DevmemError) {
          return try NetdevFamily().hasBindReceive ? .present : .absent
        } catch {
          if error.code == .kernelUnsupported { return .absent }
          return .unknown(error.underlying.map { "\($0)" } ?? error.code.rawValue)
        }
      },
      networkCapabilities: {
        do throws(DevmemError) {
          return .success(try NICCapabilities.all())
        } catch {
          return .failure(
            Failure(
              reason: "\(error.operation): \(error.underlying?.text ?? error.code.rawValue)",
              remedy: error.remedy.map { .advice($0) }))
        }
      },
      xdpSocketError: {
        // AF_XDP, which Debian 12's libc knows and Swift's overlay does not.
        let descriptor = socket(44, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return nil
      },
      uringFailure: {
        do throws(URingError) {
          _ = try URing(submissionCount: 1, completionCount: 2)
          return nil
        } catch {
          return Failure(error)
        }
      },
      zeroCopy: {
        do throws(URingError) {
          let found = try ZeroCopyCapabilities.query()
          return .success(
            ZeroCopy(
              takesDMABufs: found.takesDMABufs, hasBufferSize: found.hasBufferSize,
              hasNoDevice: found.hasNoDevice, canGrow: found.canGrow,
              isPermitted: SystemProcess.effectiveUser == 0))
        } catch {
          return .failure(Failure(error))
        }
      })
  }
}

extension Probe.Failure {
  fileprivate init(_ error: URingError) {
    self.init(
      reason: "\(error.operation): \(error.code.rawValue)"
        + (error.underlying.map { ", \($0.name)" } ?? ""),
      remedy: error.remedy.map { .advice($0) })
  }
}

/// `uname -r`.
func currentKernelRelease() -> String { (try? SystemProcess.kernelRelease()) ?? "unknown" }
