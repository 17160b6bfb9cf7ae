// SPDX-License-Identifier: Apache-2.0

internal import Devmem
internal import DevmemSystem
internal import Synchronization

/// Where the ``NICRecord`` of one network card is kept, and one user of it: in a folder that the
/// programs of this machine share, so that they find each other; in this process alone where that
/// folder cannot be made.
///
/// The folder has one file for each card, named by its network namespace and its number there,
/// and one of locks: byte N is held by who changes card N now, the byte of an owner's number by
/// that owner for as long as it is there. The kernel gives up the locks of a process that is
/// killed, so nobody has to tell whether a number of a process is still the same process.
struct NICRecordFile: ~Copyable, Sendable {
  /// Where the programs of a machine look. On a file system that a boot empties.
  static let sharedFolder = "/run/swift-devmem"
  /// For how long one waits while somebody else changes the card: a driver that has to start all
  /// its queues anew takes seconds.
  private static let waitMilliseconds: Int32 = 30_000
  /// Numbers of owners lie above those of all interfaces, and are offsets in a file.
  private static let ownerNumbers: Range<UInt64> = 1 << 32..<1 << 62

  private let interface: NetworkInterface
  private let folder: String
  private let path: String
  private let boot: String
  /// nil where the record is this process's alone.
  private let locks: LockFile?
  /// Why the record is this process's alone; nil where it is shared.
  let obstacle: Errno?
  private var claimed: UInt64?

  /// What there is instead of the folder, in this process.
  private struct Local {
    var texts: [String: String] = [:]
    var lockedPaths: Set<String> = []
    var owners: Set<UInt64> = []
  }
  private static let local = Mutex(Local())

  /// Opens it.
  ///
  /// - Parameter cookie: of the network namespace.
  init(
    of interface: NetworkInterface, namespace cookie: UInt64, folder: String = sharedFolder
  ) throws(DevmemError) {
    let opened: (boot: String, locks: LockFile?, obstacle: Errno?)
    do throws(Errno) {
      opened = try Self.open(folder)
    } catch {
      throw .step(
        "opening the record of the settings of \(interface) in \(folder)", interface: interface,
        NetlinkFailure(error))
    }
    self.interface = interface
    self.folder = folder
    path = "\(folder)/card-\(cookie)-\(interface.index)"
    boot = opened.boot
    locks = opened.locks
    obstacle = opened.obstacle
  }

  private static func open(
    _ folder: String
  ) throws(Errno) -> (boot: String, locks: LockFile?, obstacle: Errno?) {
    let boot = try bootIdentifier()
    do throws(Errno) {
      try SystemFile.makeFolder(at: folder)
      return (boot, try LockFile(at: "\(folder)/locks"), nil)
    } catch {
      // A user with CAP_NET_ADMIN alone, a container whose files are read-only.
      let reasons: [Errno] = [.EACCES, .EPERM, .EROFS, .ENOENT, .ENOTDIR]
      guard reasons.contains(error) else { throw error }
      return (boot, nil, error)
    }
  }

  deinit {
    if let claimed, locks == nil { Self.local.withLock { _ = $0.owners.remove(claimed) } }
  }

  /// "-" without /proc: then nothing tells a record from before a boot, but `/run` does not outlive
  /// one either.
  private static func bootIdentifier() throws(Errno) -> String {
    do throws(Errno) {
      let text = try SystemFile.text(at: "/proc/sys/kernel/random/boot_id")
      return String(text.prefix { !$0.isWhitespace })
    } catch {
      guard error == .ENOENT || error == .EACCES else { throw error }
      return "-"
    }
  }

  /// A number for a new owner.
  ///
  /// - Parameter claims: whether it is this value's, and gone when this ends; else it stays.
  mutating func newNumber(claims: Bool) throws(DevmemError) -> UInt64 {
    while true {
      let number = UInt64.random(in: Self.ownerNumbers)
      guard claims else { return number }
      if locks == nil {
        Self.local.withLock { _ = $0.owners.insert(number) }
      } else if try !locked(number) {
        continue
      }
      claimed = number
      return number
    }
  }

  /// Whether an owner is still there.
  func isAlive(_ owner: NICRecord.Owner) throws(DevmemError) -> Bool {
    if owner.isKept || owner.number == claimed { return true }
    guard locks != nil else { return Self.local.withLock { $0.owners.contains(owner.number) } }
    return try wrapping { locks throws(Errno) in try locks.isLockedByOthers(owner.number) }
  }

  /// Keeps everybody else from changing the card, those of this process included.
  ///
  /// - Throws: ``DevmemError/Code/settingRefused`` if somebody else does not come to an end.
  func lock() throws(DevmemError) {
    let deadline = Deadline(milliseconds: Self.waitMilliseconds)
    while try !lockNow() {
      guard deadline.milliseconds > 0 else {
        throw DevmemError(
          .settingRefused, "waiting for whoever changes the settings of \(interface)",
          interface: interface, underlying: .EAGAIN,
          remedy: "A program has been at it for \(Self.waitMilliseconds / 1000) s; if it was"
            + " stopped, let it go on or end it: sudo find /proc -maxdepth 3 -lname"
            + " \(folder)/locks")
      }
      SystemProcess.pause(milliseconds: 5)
    }
  }

  func unlock() {
    if let locks {
      locks.unlock(UInt64(interface.index))
    } else {
      Self.local.withLock { _ = $0.lockedPaths.remove(path) }
    }
  }

  private func lockNow() throws(DevmemError) -> Bool {
    guard locks == nil else { return try locked(UInt64(interface.index)) }
    return Self.local.withLock { $0.lockedPaths.insert(path).inserted }
  }

  private func locked(_ byte: UInt64) throws(DevmemError) -> Bool {
    try wrapping { locks throws(Errno) in try locks.lock(byte) }
  }

  private func wrapping(
    _ body: (LockFile) throws(Errno) -> Bool
  ) throws(DevmemError) -> Bool {
    do throws(Errno) {
      if let locks { return try body(locks) }
      return true
    } catch {
      throw .step("locking \(folder)/locks", interface: interface, NetlinkFailure(error))
    }
  }

  /// The record; empty where there is none. A reader needs no lock: the file is replaced as a
  /// whole.
  func load() throws(DevmemError) -> NICRecord {
    let text: String?
    if locks == nil {
      text = Self.local.withLock { $0.texts[path] }
    } else {
      do throws(Errno) {
        text = try SystemFile.text(at: path)
      } catch {
        guard error == .ENOENT else {
          throw .step("reading \(path)", interface: interface, NetlinkFailure(error))
        }
        text = nil
      }
    }
    guard let text else { return NICRecord() }
    guard let record = NICRecord(text, boot: boot) else {
      throw DevmemError(
        .settingRefused, "reading what others have changed of \(interface)", interface: interface,
        remedy: "Another version has written \(path): end its programs. If none runs, compare the"
          + " card with what the file says was found, and remove the file.")
    }
    return record
  }

  /// Writes the record; an empty one is removed.
  func save(_ record: NICRecord) throws(DevmemError) {
    guard locks != nil else {
      Self.local.withLock { $0.texts[path] = record.isEmpty ? nil : record.text(boot: boot) }
      return
    }
    do throws(Errno) {
      if record.isEmpty {
        try SystemFile.remove(at: path)
      } else {
        try SystemFile.replaceText(at: path, with: record.text(boot: boot))
      }
    } catch {
      let remedy: String? =
        error == .ENOSPC || error == .EDQUOT ? "Free space in \(folder): df \(folder)" : nil
      throw .step(
        "writing \(path)", interface: interface, NetlinkFailure(error), remedy: remedy)
    }
  }
}
