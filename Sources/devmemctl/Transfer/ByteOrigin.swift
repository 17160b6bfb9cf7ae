// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Glibc

/// Where bytes to be sent come from: the pattern, a file, or standard input.
struct ByteOrigin: ~Copyable {
  private let pattern: BytePattern?
  private let file: OwnedFileDescriptor?
  private let number: Int32
  private let name: String
  /// Bytes to come; nil where only the end tells.
  private(set) var rest: Int?
  private var offset = 0

  /// The pattern, so many bytes of it.
  init(_ pattern: BytePattern, byteCount: Int) {
    self.pattern = pattern
    file = nil
    number = -1
    name = "pattern"
    rest = byteCount
  }

  /// A file, or standard input; at most so many bytes of it.
  init(path: String?, byteLimit: Int?) throws(CommandError) {
    pattern = nil
    rest = byteLimit
    guard let path, path != "-" else {
      name = "standard input"
      number = STDIN_FILENO
      file = nil
      return
    }
    name = path
    let opened = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard opened >= 0 else { throw CommandError("opening \(path)", Errno(rawValue: errno)) }
    number = opened
    file = OwnedFileDescriptor(owning: opened)
  }

  /// The next bytes; 0 at the end. Fewer than there is room for only at the end.
  mutating func read(into room: UnsafeMutableRawBufferPointer) throws(CommandError) -> Int {
    let wanted = min(room.count, rest ?? .max)
    guard wanted > 0 else { return 0 }
    let destination = unsafe UnsafeMutableRawBufferPointer(rebasing: room[..<wanted])
    var done = 0
    if let pattern {
      unsafe pattern.fill(destination, at: offset)
      done = wanted
    }
    while done < wanted {
      try Interruption.wait(for: number, Int16(POLLIN))
      let count = unsafe Glibc.read(
        number, destination.baseAddress.unsafelyUnwrapped + done, wanted - done)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count >= 0 else {
        throw CommandError("reading \(name)", Errno(rawValue: errno))
      }
      if count == 0 { break }
      done += count
    }
    offset += done
    rest = rest.map { $0 - done }
    return done
  }
}
