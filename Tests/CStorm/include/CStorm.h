// SPDX-License-Identifier: Apache-2.0
//
// Stops threads at random instructions: preemption on purpose.
//
// Why C: a signal handler that sleeps in the middle of whatever its thread was doing.
#pragma once

/// The calling thread wants to be stopped now and then, or no longer.
void cstorm_register(void);
void cstorm_unregister(void);
/// Stops one registered thread every `period` to twice that, for `sleep`; both in microseconds.
void cstorm_start(unsigned period_us, unsigned sleep_us);
void cstorm_stop(void);
/// How often a thread was stopped.
long cstorm_hits(void);
/// Runs `body` in a forked child; returns its exit status, 256 plus the signal that ended it, or
/// -errno.
int cstorm_in_child(int (*body)(void *), void *context);
/// Ends the process by SIGALRM when that time is over: for a child that might wait for ever.
void cstorm_give_up_after(unsigned seconds);
/// Runs `body` when the calling thread ends, in a destructor that was made after those of all
/// libraries.
void cstorm_at_thread_end(void (*body)(void *), void *context);
void cstorm_yield(void);
/// Bytes of the process that are in memory, or under a sanitizer those that are allocated; 0 if the
/// system does not say.
long cstorm_used_bytes(void);
