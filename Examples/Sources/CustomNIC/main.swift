// SPDX-License-Identifier: Apache-2.0
// A ring of a card of your own: the card has buffers as tokens, 64 bits that fit a descriptor.
import Devmem

/// What a real driver maps. This card fills what was posted, last first, and repeats itself once.
struct Ring {
  var posted: [(address: DeviceAddress, token: UInt64)] = []
  var completed: [(token: UInt64, byteCount: Int)] = []

  mutating func runCard() {
    completed = posted.reversed().map { ($0.token, 1500) }
    completed += completed.prefix(1)
    posted.removeAll()
  }
}

let dmabuf = try? DMABufMemoryProvider(DMABufCarving(.udmabuf(byteCount: 1 << 20)))
let provider: any MemoryProvider = try dmabuf ?? HostMemoryProvider(byteCount: 1 << 20)
let pool = try PagePool(provider: provider)
var (ring, received, refused) = (Ring(), 0, 0)
for _ in 0..<1000 {
  while ring.posted.count < 64, let buffer = pool.allocate() {
    let address = buffer.deviceAddress
    ring.posted.append((address, buffer.detach().rawValue))
  }
  ring.runCard()
  for completion in ring.completed {
    do throws(NetmemTokenError) {
      let buffer = try pool.reclaim(NetmemToken(rawValue: completion.token))
      received += min(completion.byteCount, buffer.byteCount)  // and back into the pool
    } catch { refused += 1 }  // late, repeated or made up: nothing has changed
  }
}
precondition(received == 64_000 * 1500 && refused == 1000 && pool.inFlight.held == 0)
print("\(received) bytes into \(provider.name) memory, \(refused) false tokens refused")
