// SPDX-License-Identifier: Apache-2.0
#include "CBenchSupport.h"

#include <malloc.h>

uint64_t cbench_allocated_byte_count(void) {
  struct mallinfo2 info = mallinfo2();
  return (uint64_t)info.uordblks + info.hblkhd;
}
