// SPDX-License-Identifier: Apache-2.0
// A dma-buf to another process: this program starts itself anew, and lends it pieces of the memory.
import Devmem
import Foundation

if CommandLine.arguments.count == 2 {
  var reader = try FragmentReader(over: UnixSocket.connect(path: CommandLine.arguments[1]))
  var sum = 0
  while try reader.readBatch({ sum += Int($0.integer(at: 0, as: UInt64.self)) }) {}
  print("another process read \(sum) in memory from \(reader.buffer.exporter)")
  try reader.finish(Array("\(sum)".utf8))
  exit(0)
}
let buffer: DMABuf
do { buffer = try .udmabuf(byteCount: 1 << 20) } catch {
  // Says what is lacking. A memory file goes to another process the same way, but to no device.
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  buffer = try .memoryFile(byteCount: 1 << 20)
}
let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
let path = "@devmem-example-\(ProcessInfo.processInfo.processIdentifier)"
let listener = try UnixSocket.listen(path: path)
let reader = try Process.run(URL(fileURLWithPath: "/proc/self/exe"), arguments: [path])
let lender = try FragmentLender(buffer, over: listener.accept(), reclaim: pool.reclaim)
for value in [19, 23] as [UInt64] {
  var netmem = pool.allocate()!
  try buffer.withCPUAccess(.write) {
    try netmem.withMutableBytes { $0.storeBytes(of: value, as: UInt64.self) }
  }
  lender.lend(netmem)
}
var answer = try lender.finish()
while answer == nil { (_, answer) = (try lender.wait(milliseconds: -1), try lender.finish()) }
reader.waitUntilExit()
exit(answer == Array("42".utf8) && pool.inFlight.held == 0 ? reader.terminationStatus : 1)
