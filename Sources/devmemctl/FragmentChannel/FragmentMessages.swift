// SPDX-License-Identifier: Apache-2.0

/// What goes over the Unix socket (SOCK_SEQPACKET) between the demo and whoever reads the payload.
///
/// Every message begins with a `MessageHeader`; both ends run on one machine, so integers are in
/// its byte order.
///
///     demo -> importer   hello    the descriptor as SCM_RIGHTS
///     importer -> demo   ready
///     demo -> importer   batch    count fragments
///     importer -> demo   tokens   count tokens
///     demo -> importer   finish
///     importer -> demo   result   32 bytes of SHA-256, then the outcome of the DRM import as text
///     importer -> demo   failure  text; instead of any of its messages
enum ImporterMessage: UInt32 {
  case hello = 1
  case ready, batch, tokens, finish, result, failure
}

/// 16 bytes at the front of every message.
struct MessageHeader: BitwiseCopyable {
  /// "dvm1"
  static let magic: UInt32 = 0x316D_7664
  static var byteCount: Int { 16 }

  var magic = MessageHeader.magic
  var kind: UInt32
  /// How many fragments, tokens or bytes follow.
  var count: UInt32
  /// In a hello: 1 where the descriptor is a dma-buf's, 0 for a bare memory file's.
  var flag: UInt32 = 0

  init(_ kind: ImporterMessage, count: Int, flag: UInt32 = 0) {
    self.kind = kind.rawValue
    self.count = UInt32(count)
    self.flag = flag
  }

  /// The message's kind; nil if it is none of ours.
  var message: ImporterMessage? {
    magic == Self.magic ? ImporterMessage(rawValue: kind) : nil
  }
}

/// 24 bytes: where a piece of payload lies, and how to give it back.
struct FragmentEntry: BitwiseCopyable {
  /// Fragments in one message. A message then has 24 KiB, far below a socket's buffer.
  static var limit: Int { 1024 }

  var token: UInt64
  /// From the start of the dma-buf.
  var offset: UInt64
  var byteCount: UInt32
  var reserved: UInt32 = 0
}
