// SPDX-License-Identifier: Apache-2.0
// A model's weights over the network into a device: the card puts the file's bytes into memory of a
// Vulkan device, whose shaders put the tensors together, widen them and take their checksums. The
// processor reads the header alone.
import Foundation

func end(_ text: String, _ status: Int32) -> Never {
  FileHandle.standardError.write(Data("\(text)\n".utf8))
  exit(status)
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count == 2, let verb = arguments.first, let name = arguments.last else {
  end("usage: Weights make FILE | load INTERFACE   (and: devmemctl send --input FILE ADDRESS)", 64)
}
do {
  switch verb {
  case "make": try Data(Safetensors.make()).write(to: URL(fileURLWithPath: name))
  case "load": print(try load(by: name))
  default: end("neither make nor load: \(verb)", 64)
  }
} catch {
  end("\(error)", 1)
}
