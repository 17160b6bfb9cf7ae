// SPDX-License-Identifier: Apache-2.0

import Devmem
import DevmemSystem
import DevmemTestSupport
import DevmemVulkan
import Glibc

// What else uses a dma-buf, as a process of its own: what it is told over a Unix socket. Ends, with
// whatever it has, when the socket does. DeviceProcess, in the device tests, is the other end.
guard CommandLine.arguments.count == 3 else {
  print("usage: DevmemDeviceProcess fences|importer|exporter PATH")
  exit(64)
}
let socket = try UnixSocket.connect(path: CommandLine.arguments[2])
switch CommandLine.arguments[1] {
case "fences": try FenceDevice(socket).run()
case "importer": try runImporter(socket)
case "exporter": try runExporter(socket)
default: exit(64)
}

/// The dma-buf that comes first.
func receiveBuffer(_ socket: UnixSocket) throws -> DMABuf {
  try DMABuf.imported(socket.receiveDescriptor())
}

/// Imports the dma-buf into a device and answers "offset, byte count" with the sum of those bytes,
/// until the socket ends. With a count of 0 it sums all of the buffer, again and again, after
/// having answered: to be killed.
func runImporter(_ socket: UnixSocket) throws {
  let buffer = try receiveBuffer(socket)
  let device = try Vulkan().device()
  let memory = try VulkanMemory(importing: buffer, into: device)
  let shader = try VulkanShader(.sum, on: device)
  try socket.send(words: [1])
  while let words = try socket.receiveWords(limit: 2) {
    guard words[1] == 0 else {
      let fragment = VulkanFragment(offset: Int(words[0]), byteCount: Int(words[1]))
      try socket.send(words: VulkanJob(shader, over: [fragment], of: memory).results())
      continue
    }
    try socket.send(words: [0])
    let all = [VulkanFragment(offset: 0, byteCount: buffer.byteCount)]
    while true { _ = try VulkanJob(shader, over: all, of: memory).results() }
  }
}

/// Has a device allocate memory, fills it, sends its dma-buf and ends when it is told.
func runExporter(_ socket: UnixSocket) throws {
  let device = try Vulkan().device()
  let memory = try VulkanMemory(allocating: 256 << 10, on: device)
  try memory.buffer.withBytes(.write) { bytes in
    for offset in 0..<bytes.count { unsafe bytes[offset] = UInt8(offset % 251) }
  }
  try memory.buffer.sendDescriptor(over: socket, message: [1])
  _ = try socket.receiveWords(limit: 1)
}
