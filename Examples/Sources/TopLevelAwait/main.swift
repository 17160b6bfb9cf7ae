// SPDX-License-Identifier: Apache-2.0
import Devmem

// A real dma-buf with both mappings; a memory file where this machine has no /dev/udmabuf.
let buffer = try (try? DMABuf.udmabuf(byteCount: 64 << 20)) ?? .memoryFile(byteCount: 64 << 20)
let carving = try DMABufCarving(buffer, iovByteCount: 4096)  // chunk owners and IOVs
let payload = try SharedPagePool(provider: DMABufMemoryProvider(carving))  // for any task or thread
let headers = try SharedPagePool(provider: HostMemoryProvider())  // host pages, same handle

func packet(to post: (DeviceAddress, Int) -> Void) async throws -> NetmemToken {
  let body = try await payload.allocate(waiting: .seconds(1))  // allocate() does not wait: nil
  guard var header = headers.allocate() else { throw PagePoolError.timedOut }
  try header.withMutableBytes { $0.storeBytes(of: 42, as: UInt32.self) }  // host memory: bytes
  post(body.deviceAddress, body.byteCount)  // device memory: an address
  return body.detach()  // 64 bits for a ring
}  // the header goes back to its pool here

let token = try await packet { address, byteCount in
  print("\(byteCount) bytes at \(address) of a buffer from \(buffer.exporter)")
}
_ = try payload.reclaim(token)  // checked: once, here, in time; and back
try await payload.close()  // resumes when the last buffer is back
