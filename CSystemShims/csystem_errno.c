// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "csystem_errno.h"

#include <string.h>

const char *csystem_errno_name(int number) {
  return strerrorname_np(number);
}

const char *csystem_errno_text(int number) {
  return strerrordesc_np(number);
}
