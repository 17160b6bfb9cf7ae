// SPDX-License-Identifier: Apache-2.0

/// What hands out packets from a socket: ``HeaderSplitReceiver`` from any, ``DevmemReceiver`` from
/// device memory TCP.
///
/// Code that takes the payload as it comes runs on either; only the call that makes the receiver
/// differs:
///
/// ```swift
/// import Devmem
/// import DevmemNet
///
/// func drain(_ receiver: inout some PacketReceiver & ~Copyable) throws -> Int {
///   var packet = receiver.makePacket()
///   var byteCount = 0
///   while try receiver.receive(into: &packet) == .packet {
///     while let fragment = packet.popFirstFragment() {
///       byteCount += fragment.byteCount
///     }
///   }
///   return byteCount
/// }
///
/// func plain(
///   _ socket: consuming OwnedFileDescriptor, _ pool: PagePool
/// ) throws -> Int {
///   var receiver = try HeaderSplitReceiver(
///     unframed: socket, maximumByteCount: 256 << 10, payload: pool)
///   return try drain(&receiver)
/// }
///
/// func devmem(
///   _ socket: consuming OwnedFileDescriptor, _ binding: NetdevBinding,
///   _ pool: PagePool
/// ) throws -> Int {
///   var receiver = try DevmemReceiver(
///     stream: socket, binding: binding, linear: pool)
///   return try drain(&receiver)
/// }
/// ```
public protocol PacketReceiver: ~Copyable {
  /// Why receiving failed.
  associatedtype Failure: Error

  /// An empty packet with room for whatever one call receives.
  func makePacket() -> Packet

  /// Receives one packet into `packet`, whose former contents end first.
  ///
  /// Waits where the socket is a blocking one. Unless the outcome is ``ReceiveOutcome/packet``,
  /// `packet` is empty.
  mutating func receive(into packet: inout Packet) throws(Failure) -> ReceiveOutcome

  /// The number to poll: the socket's, or that of the io_uring that receives for it. Borrowed:
  /// valid while the receiver lives.
  var descriptorNumber: Int32 { get }
}
