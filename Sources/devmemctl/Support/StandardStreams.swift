// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Standard input, output and error: descriptors 0 to 2, open in every process of ours.
enum StandardStreams {
  /// Opens those that whoever started us has closed: the first file of ours would get their number,
  /// and all that is printed would go into it.
  ///
  /// What is opened takes nothing: /dev/null for writing as standard input, for reading as the
  /// other two. So whoever reads or writes hears of it (EBADF) and does not take silence for
  /// success. To be called before anything else is opened, and before there are threads.
  static func open() {
    for number in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(number, F_GETFD) < 0 && errno == EBADF {
      let mode = number == STDIN_FILENO ? O_WRONLY : O_RDONLY
      // The lowest free number is the one that is missing. The root folder is there where /dev is
      // not.
      if unsafe Glibc.open("/dev/null", mode) < 0 { _ = unsafe Glibc.open("/", O_RDONLY) }
    }
  }
}
