// SPDX-License-Identifier: Apache-2.0
#include "csystem_seam.h"

#include <stddef.h>

static _Thread_local void *seam = NULL;

void *csystem_seam_get(void) {
  return seam;
}

void csystem_seam_set(void *value) {
  seam = value;
}
