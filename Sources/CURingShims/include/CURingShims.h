// SPDX-License-Identifier: Apache-2.0
//
// An io_uring: making it, submitting to it, waiting for it, and buffers that the kernel picks from
// (io_uring_setup(2), io_uring_enter(2), io_uring_register(2)), over liburing 2.3.
// Why C: liburing's rings are inline functions with the barriers that they need.
//
// Functions return >= 0 or -errno. One thread at a time, but any.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A ring and its mappings.
struct curing_ring;

/// What the kernel says of a request that has got somewhere (struct io_uring_cqe).
struct curing_completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};

/// Of `flags`: the upper half is a buffer's number; more will come of this request.
extern const uint32_t CURING_COMPLETION_BUFFER;
extern const uint32_t CURING_COMPLETION_MORE;

/// Makes a ring for `entries` submissions and `completions` completions, both rounded up to powers
/// of two (Linux 5.5). The caller owns what `*ring` then points to. -EPERM where
/// /proc/sys/kernel/io_uring_disabled or a filter of system calls forbids it, -ENOSYS in a kernel
/// without io_uring, -EMFILE, -ENFILE, -ENOMEM (before Linux 5.12 also: above RLIMIT_MEMLOCK).
int curing_ring_open(uint32_t entries, uint32_t completions, struct curing_ring **ring);

/// Unmaps and closes. What is under way is cancelled by the kernel some time later: who lent it
/// memory cancels first and takes the memory back (curing_buffers_unregister).
void curing_ring_close(struct curing_ring *ring);

/// The descriptor to poll: readable when there are completions. Owned by the ring.
int curing_ring_descriptor(const struct curing_ring *ring);

/// Submits what was prepared, and waits for one completion if `waits`. Returns how many requests
/// the kernel took. -EINTR when a signal came first, -EAGAIN and -EBUSY when the kernel lacks
/// memory for requests or completions.
int curing_ring_enter(struct curing_ring *ring, int waits);

/// Ends all requests with this `user_data`, and returns when they have ended (Linux 6.0). -ENOENT
/// where there is none; -EALREADY where one could not be stopped.
int curing_ring_cancel(struct curing_ring *ring, uint64_t user_data);

/// Takes the next completion off: 1, or 0 where there is none.
int curing_ring_next(struct curing_ring *ring, struct curing_completion *completion);

/// Prepares a receive that goes on until it is told otherwise (Linux 6.0): each completion is of
/// one buffer that the kernel picked from the group. -EBUSY where the submission queue is full.
int curing_ring_receive(struct curing_ring *ring, int socket, uint16_t group, uint64_t user_data);

/// Bytes of memory for so many buffers to pick from.
size_t curing_buffers_byte_count(uint32_t entries);

/// Lets the kernel pick from a group of buffers, which is empty at first (Linux 5.19). `memory` is
/// aligned to a page, of curing_buffers_byte_count(entries) bytes, and valid until the group is
/// unregistered; `entries` is a power of two, at most 32768. -EINVAL in older kernels, -EEXIST
/// where the group has members, -ENOMEM.
int curing_buffers_register(
  struct curing_ring *ring, void *memory, uint32_t entries, uint16_t group);

/// After this the kernel writes to no buffer of the group any more, whatever is under way. -ENOENT
/// where there is no such group.
int curing_buffers_unregister(struct curing_ring *ring, uint16_t group);

/// Writes a buffer behind those that are there, at `position` from 0 of those that are added at
/// once. The kernel sees it after curing_buffers_publish.
void curing_buffers_add(
  void *memory, uint32_t entries, uint32_t position, void *address, uint32_t byte_count,
  uint16_t number);

/// Lets the kernel see `count` buffers more.
void curing_buffers_publish(void *memory, uint32_t count);

#ifdef __cplusplus
}
#endif
