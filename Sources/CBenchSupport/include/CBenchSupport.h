// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark needs of the processor.
//
// Why C: none of it has a Swift spelling.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The processor's time stamp: reference cycles on x86-64 (they tick at one rate whatever the
/// core's clock does), ticks of the generic timer on arm64.
static inline uint64_t cbench_cycles(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
#error "no cycle counter is known for this processor"
#endif
}

/// Returns the value in a way that the optimiser cannot see through. No instruction.
static inline uint64_t cbench_opaque(uint64_t value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

/// Tells the processor that this is a wait loop.
static inline void cbench_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// What malloc has given out and not got back, in bytes, the blocks that it maps included. Glibc
/// 2.33 or newer, whose <malloc.h> Swift does not see.
uint64_t cbench_allocated_byte_count(void);

#ifdef __cplusplus
}
#endif
