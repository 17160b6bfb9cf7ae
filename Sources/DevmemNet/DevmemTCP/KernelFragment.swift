// SPDX-License-Identifier: Apache-2.0

/// The claim on received device memory that a token stands for (`frag_token` of `struct
/// dmabuf_cmsg`). Ends exactly once, on whatever thread: the token is then on its way back to the
/// kernel.
struct KernelFragment: ~Copyable, Sendable {
  let returns: TokenReturns
  let token: UInt32

  init(returns: TokenReturns, token: UInt32) {
    self.returns = returns
    self.token = token
  }

  deinit { returns.end(token) }
}
