// SPDX-License-Identifier: Apache-2.0
//
// What the files of this module share and nobody else sees.
#pragma once

#include <liburing.h>

#include "CURingShims.h"

struct curing_ring {
  struct io_uring uring;
};
