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
/// Runs `body` in a forked child; returns its exit status, 256 plus the signal that ended it, or -errno.
int cstorm_in_child(int (*body)(void *), void *context);
