// SPDX-License-Identifier: Apache-2.0
//
// Names and texts of error numbers.
// Why C: strerrorname_np and strerrordesc_np (glibc 2.32) hide behind _GNU_SOURCE.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// "ENOENT" for 2; NULL for a number without a name. A static string, never to be freed.
const char *csystem_errno_name(int number);

/// "No such file or directory" for 2; NULL for an unknown number. A static string.
const char *csystem_errno_text(int number);

#ifdef __cplusplus
}
#endif
