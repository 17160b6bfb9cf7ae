// SPDX-License-Identifier: Apache-2.0
//
// Threads and the processors they run on.
// Why C: cpu_set_t is walked by macros, pthread_attr_setaffinity_np is a GNU extension that Swift's
// Glibc module leaves out, and a thread names itself before it runs anything of Swift's.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Words of a set of processors, 64 to a word: as many processors as Linux can be built for
/// (NR_CPUS with MAXSMP, arch/x86/Kconfig).
enum { csystem_thread_word_count = 8192 / 64 };

/// A thread that runs `routine(context)` on the given processors (csystem_thread_word_count words)
/// and bears `name`, at most 15 bytes. The caller owns it: csystem_thread_release. -EINVAL: none of
/// the processors is there and allowed to this process; -EAGAIN: no more threads. On failure
/// nothing runs and `context` is the caller's still.
int csystem_thread_start(
  const char *name, const uint64_t *processors, void (*routine)(void *), void *context,
  uint64_t *thread);

/// Waits until a thread has ended (pthread_join); if it is the calling thread, lets it end by
/// itself (pthread_detach). Waits, unlike the others here; cannot fail on a thread that is owned.
int csystem_thread_release(uint64_t thread);

/// 1 if it is the calling thread, else 0.
int csystem_thread_is_current(uint64_t thread);

/// Sets the bits of the processors that the first thread of the process may run on
/// (sched_getaffinity), and answers how many. -EINVAL on a kernel with more than there are bits.
int csystem_thread_process_processors(uint64_t *processors);

#ifdef __cplusplus
}
#endif
