// SPDX-License-Identifier: Apache-2.0

import DevmemSystem
import Testing

@Suite struct ErrnoTests {
  @Test("an errno says its symbolic name and its meaning")
  func names() {
    #expect(Errno.ENOENT.name == "ENOENT")
    #expect(Errno.ENOENT.text == "No such file or directory")
    #expect(Errno.EBADFD.rawValue == 77)
    #expect("\(Errno.EINVAL)" == "EINVAL (Invalid argument)")
  }

  @Test("a number that only the kernel knows is still told apart")
  func kernelInternal() {
    let tooSmall = Errno(rawValue: 525)
    #expect(tooSmall.name == "errno 525")
    #expect(tooSmall != Errno(rawValue: 524))
  }
}
