// SPDX-License-Identifier: Apache-2.0
// A dma-buf to another process: this program starts itself anew, and hands over the descriptor.
import Devmem
import Foundation

if CommandLine.arguments.count == 2 {
  let socket = try UnixSocket.connect(path: CommandLine.arguments[1])
  var message = try socket.receive(byteLimit: 2, descriptorLimit: 1)
  let (isExported, offset) = (message.bytes[0] == 1, Int(message.bytes[1]) * 4096)
  let descriptor = message.descriptors.popFirst()!
  let shared = try isExported ? DMABuf.imported(descriptor) : .importedMemoryFile(descriptor)
  let value = try shared.withBytes { $0.integer(at: offset, as: UInt64.self) }
  print("another process read \(value) at \(offset) of memory from \(shared.exporter)")
  exit(value == 42 ? 0 : 1)
}
let buffer: DMABuf
do { buffer = try .udmabuf(byteCount: 1 << 20) } catch {
  // Says what is lacking. A memory file goes to another process the same way, but to no device.
  FileHandle.standardError.write(Data("\(error)\n".utf8))
  buffer = try .memoryFile(byteCount: 1 << 20)
}
let pool = try PagePool(provider: DMABufMemoryProvider(DMABufCarving(buffer)))
var netmem = pool.allocate()!
try buffer.withCPUAccess(.write) {
  try netmem.withMutableBytes { $0.storeBytes(of: 42, as: UInt64.self) }
}
let path = "@devmem-example-\(ProcessInfo.processInfo.processIdentifier)"
let listener = try UnixSocket.listen(path: path)
let reader = try Process.run(URL(fileURLWithPath: "/proc/self/exe"), arguments: [path])
let message = [buffer.isExported ? 1 : 0, UInt8(netmem.offset / 4096)]
try buffer.sendDescriptor(over: listener.accept(), message: message)
reader.waitUntilExit()
exit(reader.terminationStatus)
