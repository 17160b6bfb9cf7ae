// SPDX-License-Identifier: Apache-2.0
//
// Who the current thread is, in one instruction.
//
// Why C: pthread_self() is a PLT call from Swift, and the thread pointer register has no Swift
// spelling. The value is unique among living threads; it may be reused after a thread has ended.
#pragma once

#include <stdint.h>

/// The address of the current thread's control block: never 0, never odd.
static inline uintptr_t cthread_identity(void) {
  return (uintptr_t)__builtin_thread_pointer();
}
