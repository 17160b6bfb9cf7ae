// SPDX-License-Identifier: Apache-2.0

package import DevmemSystem

/// A TCP socket where Swift wants something that can be copied: in arrays, and on several threads.
package final class SharedTCPSocket: Sendable {
  package let socket: TCPSocket

  package init(_ socket: consuming TCPSocket) { self.socket = socket }

  package var port: UInt16 { socket.port }

  package func setNoDelay(_ isEnabled: Bool) throws(Errno) { try socket.setNoDelay(isEnabled) }

  package func finishSending() throws(Errno) { try socket.finishSending() }
}
