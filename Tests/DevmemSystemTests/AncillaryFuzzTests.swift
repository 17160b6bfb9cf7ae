// SPDX-License-Identifier: Apache-2.0

import CSystemShims
import DevmemSystem
import DevmemTestSupport
import Testing

/// What the kernel puts beside bytes, and its answers in their raw form: no length leads outside,
/// and none is without end.
@Suite struct AncillaryFuzzTests {
  /// Control messages of a kind, whose lengths may be anything.
  private static func control(
    _ random: inout SeededGenerator, types: [UInt32], limit: Int
  ) -> [UInt8] {
    var control: [UInt8] = []
    while control.count < limit, random.next() & 7 != 0 {
      let payload = random.bytes(upTo: 40)
      let length = random.next() & 3 == 0 ? random.edge() : UInt64(16 + payload.count)
      // cmsg_len, SOL_SOCKET, the type
      let type = types[Int(random.next() % UInt64(types.count))]
      control += unsafe withUnsafeBytes(of: (length, UInt32(1), type)) { unsafe Array($0) }
      control += payload + [UInt8](repeating: 0, count: (8 - payload.count % 8) % 8)
    }
    if random.next() & 1 == 0 { random.damage(&control) }
    return Array(control.prefix(limit))
  }

  @Test("descriptors in control messages are taken as far as there are bytes, and as many as asked")
  func rights() {
    Fuzzing.forEach(orElse: 10_000) { random in
      let control = Self.control(&random, types: [1, 1, 2], limit: 96)
      let limit = Int(random.next() % 5)
      var numbers = [Int32](repeating: -1, count: limit + 1)
      let used = unsafe csystem_unixsocket_descriptors_in(control, control.count, &numbers, limit)
      precondition(used <= limit && numbers[limit] == -1)
    }
  }

  @Test("fragments of device memory in control messages as well")
  func fragments() {
    Fuzzing.forEach(orElse: 10_000) { random in
      // SO_DEVMEM_LINEAR, SO_DEVMEM_DMABUF, SCM_RIGHTS
      let control = Self.control(&random, types: [78, 79, 79, 1], limit: 160)
      let limit = Int(random.next() % 5)
      var fragments = [csystem_devmem_fragment](
        repeating: csystem_devmem_fragment(
          offset: .max, byte_count: .max, token: .max, binding: .max, is_linear: .max),
        count: limit + 1)
      let used = unsafe csystem_devmem_fragments_in(control, control.count, &fragments, limit)
      precondition(used <= limit && fragments[limit].offset == .max)
      precondition(fragments[..<used].allSatisfy { $0.is_linear <= 1 })
    }
  }

  @Test("fragments that are whole are read as they are, behind others and before them")
  func wholeFragments() {
    func message(_ type: UInt32, _ payload: [UInt8]) -> [UInt8] {
      unsafe withUnsafeBytes(of: (UInt64(16 + payload.count), UInt32(1), type)) { unsafe Array($0) }
        + payload + [UInt8](repeating: 0, count: (8 - payload.count % 8) % 8)
    }
    let first = unsafe withUnsafeBytes(of: (UInt64(4096), UInt32(100), UInt32(7), UInt64(3))) {
      unsafe Array($0)
    }
    let control = message(1, [1, 2, 3]) + message(79, first) + message(78, first)
    var fragments = [csystem_devmem_fragment](repeating: csystem_devmem_fragment(), count: 4)
    #expect(unsafe csystem_devmem_fragments_in(control, control.count, &fragments, 4) == 2)
    #expect(fragments[0].offset == 4096 && fragments[0].byte_count == 100)
    #expect(fragments[0].token == 7 && fragments[0].binding == 3 && fragments[0].is_linear == 0)
    #expect(fragments[1].is_linear == 1)
  }

  @Test("netlink messages are measured before they are believed")
  func netlink() {
    Fuzzing.forEach(orElse: 10_000) { random in
      var bytes = random.bytes(upTo: 128)
      if bytes.count >= 4 {
        let length = UInt32(truncatingIfNeeded: random.edge())
        bytes.replaceSubrange(0..<4, with: unsafe withUnsafeBytes(of: length) { unsafe Array($0) })
      }
      var offset = 0
      var message = csystem_netlink_message()
      while unsafe csystem_netlink_message_at(bytes, bytes.count, offset, &message) == 1 {
        precondition(message.payload_offset + message.payload_count <= bytes.count)
        precondition(message.next_offset > offset)
        var verdict = csystem_netlink_verdict()
        if unsafe csystem_netlink_verdict_of(bytes, &message, &verdict) == 1 {
          precondition((0...4095).contains(verdict.error))
          precondition(
            verdict.text_count == 0 || verdict.text_offset + verdict.text_count <= bytes.count)
        }
        offset = message.next_offset
      }
    }
  }
}
