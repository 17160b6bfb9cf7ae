// SPDX-License-Identifier: Apache-2.0

import DevmemSystem

extension OwnedFileDescriptor {
  /// Receives into the list's memory, in order: bytes received, or nil where the socket does not
  /// block and has nothing.
  func receive(_ vectors: borrowing VectorList) throws(HeaderSplitError) -> Int? {
    do {
      return try unsafe receive(into: vectors.elements)
    } catch {
      if error == .EAGAIN { return nil }
      throw .socket(error)
    }
  }

  /// Sends some of the list's bytes, at least one; waits for room where there is none.
  func send(_ vectors: borrowing VectorList) throws(HeaderSplitError) -> Int {
    while true {
      do {
        return try unsafe send(vectors.elements)
      } catch {
        guard error == .EAGAIN else { throw .socket(error) }
      }
      do {
        _ = try wait(for: .writable, milliseconds: -1)
      } catch {
        throw .socket(error)
      }
    }
  }
}
