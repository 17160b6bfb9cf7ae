// SPDX-License-Identifier: Apache-2.0
// Who has given a packet away does not have its fragments.
import Devmem
import DevmemNet

func consume(_ packet: consuming Packet) {}

func misuse(_ receiver: inout HeaderSplitReceiver) throws -> PayloadFragment? {
  var packet = receiver.makePacket()  // expected-error: 'packet' used after consume
  guard try receiver.receive(into: &packet) == .packet else { return nil }
  consume(packet)
  return packet.popFirstFragment()
}
