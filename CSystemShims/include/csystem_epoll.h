// SPDX-License-Identifier: Apache-2.0
//
// Which of many descriptors are ready (epoll(7)).
// Why C: struct epoll_event is packed on some processors and has a union with a pointer.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// epoll_create1(2). Returns an fd that the caller owns.
int csystem_epoll_create(void);

/// Watches `fd` for readability (1), writability (2) or errors alone (0), level-triggered. -EEXIST
/// where it is watched already, -EPERM for what cannot be (a regular file), -ENOSPC above
/// max_user_watches.
int csystem_epoll_add(int epoll, int fd, int interest);

/// Stops watching `fd`. -ENOENT where it is not watched.
int csystem_epoll_remove(int epoll, int fd);

/// Waits, and writes the numbers of ready descriptors: at most `capacity` and at most 64. Returns
/// how many; 0 after `milliseconds` (-1: no limit).
int csystem_epoll_wait(int epoll, int32_t *ready, int capacity, int milliseconds);

#ifdef __cplusplus
}
#endif
