// SPDX-License-Identifier: Apache-2.0

import CLibcrypto

/// A running SHA-256 (OpenSSL's EVP, which uses the CPU's own instructions where it has them).
@safe
struct SHA256: ~Copyable {
  // SAFETY: made in init, freed in deinit, and used by this value alone.
  private let context: OpaquePointer

  deinit { unsafe EVP_MD_CTX_free(context) }

  init() {
    guard let context = unsafe EVP_MD_CTX_new() else { fatalError("no memory for a SHA-256") }
    unsafe self.context = unsafe context
    let started = unsafe EVP_DigestInit_ex(context, EVP_sha256(), nil)
    precondition(started == 1, "libcrypto has no SHA-256")
  }

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    let updated = unsafe EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(updated == 1, "SHA-256 failed")
  }

  /// The digest, 32 bytes.
  consuming func finalize() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let finished = unsafe EVP_DigestFinal_ex(context, &digest, nil)
    precondition(finished == 1, "SHA-256 failed")
    return digest
  }
}

extension [UInt8] {
  /// Two lower-case hexadecimal digits a byte.
  var hexadecimal: String {
    map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
