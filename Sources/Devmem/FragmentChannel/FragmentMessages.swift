// SPDX-License-Identifier: Apache-2.0

/// What goes over the Unix socket (SOCK_SEQPACKET) between who lends fragments and who reads them.
///
/// Every message begins with a `MessageHeader`; both ends run on one machine, so integers are in
/// its byte order.
///
///     lender -> reader   hello    the descriptor as SCM_RIGHTS
///     reader -> lender   ready
///     lender -> reader   batch    count fragments
///     reader -> lender   tokens   count tokens
///     lender -> reader   finish
///     reader -> lender   answer   what the reader has to say in the end
///     reader -> lender   failure  text; instead of any of its messages
package enum FragmentMessage: UInt32 {
  case hello = 1
  case ready, batch, tokens, finish, answer, failure
}

/// 16 bytes at the front of every message.
package struct MessageHeader: BitwiseCopyable {
  /// "dvm1"
  package static let magic: UInt32 = 0x316D_7664
  package static var byteCount: Int { 16 }

  package var magic = MessageHeader.magic
  package var kind: UInt32
  /// How many fragments, tokens or bytes follow.
  package var count: UInt32
  /// In a hello: 1 where the descriptor is a dma-buf's, 0 for a bare memory file's.
  package var flag: UInt32 = 0

  package init(_ kind: FragmentMessage, count: Int, flag: UInt32 = 0) {
    self.kind = kind.rawValue
    self.count = UInt32(count)
    self.flag = flag
  }

  /// The message's kind; nil if it is none of ours.
  package var message: FragmentMessage? {
    magic == Self.magic ? FragmentMessage(rawValue: kind) : nil
  }
}

/// 24 bytes: where a piece of payload lies, and how to give it back.
package struct FragmentEntry: BitwiseCopyable {
  /// Fragments in one message. A message then has 24 KiB, far below a socket's buffer.
  package static var limit: Int { 1024 }

  package var token: UInt64
  /// From the start of the dma-buf.
  package var offset: UInt64
  package var byteCount: UInt32
  package var reserved: UInt32 = 0

  package init(token: UInt64, offset: UInt64, byteCount: UInt32) {
    self.token = token
    self.offset = offset
    self.byteCount = byteCount
  }
}
