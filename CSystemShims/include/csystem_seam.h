// SPDX-License-Identifier: Apache-2.0
//
// One pointer per thread for the test seam (see SystemCallSeam.swift), so that a test which forces
// an errno disturbs no test on another thread.
// Why C: Swift has no thread-local storage.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// The value last given to csystem_seam_set on this thread; NULL at first.
void *csystem_seam_get(void);

/// Sets this thread's value. Ownership stays with the caller.
void csystem_seam_set(void *value);

#ifdef __cplusplus
}
#endif
