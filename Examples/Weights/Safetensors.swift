// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What is wrong with a file, or with what came of it.
struct Failure: Error, CustomStringConvertible {
  let description: String
}

/// A file of tensors (github.com/huggingface/safetensors): eight bytes with the length of a header,
/// the header, which is JSON, and the tensors, one behind the other. Here all of them are of bf16,
/// and the metadata has their checksums.
struct Safetensors {
  struct Tensor {
    let name: String
    let shape: [Int]
    /// Its bytes, from the end of the header on.
    let range: Range<Int>
    /// The CRC-32 of these bytes, and of the same numbers as f32.
    let crc32: UInt32
    let widenedCRC32: UInt32
  }

  let tensors: [Tensor]
  let byteCount: Int

  /// Bytes that say how long the header is, and how long it may be.
  static let lengthByteCount = 8
  static let headerLimit = 1 << 20

  /// The length of the header that begins with these bytes; nil if there are too few.
  static func headerByteCount(_ bytes: [UInt8]) throws -> Int? {
    guard bytes.count >= lengthByteCount else { return nil }
    let count = bytes[..<lengthByteCount].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard count <= headerLimit else { throw Failure(description: "a header of \(count) bytes") }
    return Int(count)
  }

  /// Takes in a header.
  init(header: [UInt8]) throws {
    guard let object = try JSONSerialization.jsonObject(with: Data(header)) as? [String: Any],
      let metadata = object["__metadata__"] as? [String: String]
    else { throw Failure(description: "the header is no object with metadata") }
    tensors = try object.filter { $0.key != "__metadata__" }.map { name, value in
      guard let value = value as? [String: Any], value["dtype"] as? String == "BF16",
        let shape = value["shape"] as? [Int], let offsets = value["data_offsets"] as? [Int],
        offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1],
        let sums = metadata[name]?.split(separator: " ").compactMap({ UInt32($0, radix: 16) }),
        sums.count == 2
      else { throw Failure(description: "\(name): not a tensor of bf16 with its checksums") }
      return Tensor(
        name: name, shape: shape, range: offsets[0]..<offsets[1], crc32: sums[0],
        widenedCRC32: sums[1])
    }.sorted { $0.range.lowerBound < $1.range.lowerBound }
    var end = 0
    for tensor in tensors {
      var (count, isTooLarge) = (2, tensor.shape.contains { $0 < 0 })
      for side in tensor.shape where !isTooLarge {
        (count, isTooLarge) = count.multipliedReportingOverflow(by: side)
      }
      guard tensor.range.lowerBound == end, !isTooLarge, tensor.range.count == count else {
        throw Failure(description: "\(tensor.name): not where the one before it ends, or too long")
      }
      end = tensor.range.upperBound
    }
    guard end > 0 else { throw Failure(description: "no tensors") }
    byteCount = end
  }

  /// A file with random numbers. Some tensors begin in the middle of a word.
  static func make() throws -> [UInt8] {
    let shapes: KeyValuePairs = [
      "embedding.weight": [512, 128], "layer.0.attention.weight": [384, 128],
      "layer.0.attention.bias": [383], "layer.0.mlp.weight": [512, 128], "layer.0.mlp.bias": [511],
      "norm.weight": [128], "head.weight": [512, 128],
    ]
    var (data, metadata) = ([UInt8](), ["format": "pt"])
    var header: [String: Any] = [:]
    for (name, shape) in shapes {
      var (narrow, wide) = ([UInt8](), [UInt8]())
      for _ in 0..<shape.reduce(1, *) {
        let number = Float.random(in: -1...1).bitPattern
        narrow += [UInt8(number >> 16 & 0xff), UInt8(number >> 24)]
        wide += [0, 0, UInt8(number >> 16 & 0xff), UInt8(number >> 24)]
      }
      metadata[name] = "\(hexadecimal(crc32(narrow))) \(hexadecimal(crc32(wide)))"
      header[name] = [
        "dtype": "BF16", "shape": shape, "data_offsets": [data.count, data.count + narrow.count],
      ]
      data += narrow
    }
    header["__metadata__"] = metadata
    var text = [UInt8](try JSONSerialization.data(withJSONObject: header, options: .sortedKeys))
    // The tensors begin at a multiple of eight.
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    let length = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return length + text + data
  }
}

func hexadecimal(_ number: UInt32) -> String { String(number, radix: 16) }

/// As zlib's.
func crc32(_ bytes: [UInt8]) -> UInt32 {
  let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 != 0 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
  }
  var crc = ~UInt32(0)
  for byte in bytes { crc = table[Int((crc ^ UInt32(byte)) & 0xff)] ^ crc >> 8 }
  return ~crc
}
