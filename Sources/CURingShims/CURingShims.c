// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CURingRing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const uint32_t CURING_COMPLETION_BUFFER = IORING_CQE_F_BUFFER;
const uint32_t CURING_COMPLETION_MORE = IORING_CQE_F_MORE;

// The buffer's number in a completion's flags: Swift takes the upper half.
_Static_assert(IORING_CQE_BUFFER_SHIFT == 16, "a buffer's number is the upper half of the flags");
_Static_assert(sizeof(struct io_uring_buf) == 16, "an entry of a group of buffers");

int curing_ring_open(
  uint32_t entries, uint32_t completions, int is_zero_copy, struct curing_ring **ring) {
  struct curing_ring *made = calloc(1, sizeof *made);
  if (!made) return -ENOMEM;
  struct io_uring_params params = {
    .flags = IORING_SETUP_CQSIZE,
    .cq_entries = completions,
  };
  if (is_zero_copy) {
    params.flags |= IORING_SETUP_CQE32 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  }
  int result = io_uring_queue_init_params(entries, &made->uring, &params);
  if (result < 0) {
    free(made);
    return result;
  }
  *ring = made;
  return 0;
}

void curing_ring_close(struct curing_ring *ring) {
  io_uring_queue_exit(&ring->uring);
  free(ring);
}

int curing_ring_descriptor(const struct curing_ring *ring) { return ring->uring.ring_fd; }

int curing_ring_enter(struct curing_ring *ring, int waits) {
  if (waits) return io_uring_submit_and_wait(&ring->uring, 1);
  return io_uring_submit_and_get_events(&ring->uring);
}

int curing_ring_cancel(struct curing_ring *ring, uint64_t user_data) {
  struct io_uring_sync_cancel_reg cancellation = {
    .addr = user_data,
    .fd = -1,
    .flags = IORING_ASYNC_CANCEL_ALL,
    // No limit of time.
    .timeout = {.tv_sec = -1, .tv_nsec = -1},
  };
  return io_uring_register_sync_cancel(&ring->uring, &cancellation);
}

int curing_ring_next(struct curing_ring *ring, struct curing_completion *completion) {
  struct io_uring_cqe *entry;
  if (io_uring_peek_cqe(&ring->uring, &entry) != 0) return 0;
  completion->user_data = entry->user_data;
  completion->result = entry->res;
  completion->flags = entry->flags;
  // struct io_uring_zcrx_cqe, the second half.
  completion->offset = ring->uring.flags & IORING_SETUP_CQE32 ? entry->big_cqe[0] : 0;
  io_uring_cqe_seen(&ring->uring, entry);
  return 1;
}

int curing_ring_receive(struct curing_ring *ring, int socket, uint16_t group, uint64_t user_data) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (!entry) return -EBUSY;
  io_uring_prep_recv_multishot(entry, socket, NULL, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = group;
  io_uring_sqe_set_data64(entry, user_data);
  return 0;
}

size_t curing_buffers_byte_count(uint32_t entries) {
  return (size_t)entries * sizeof(struct io_uring_buf);
}

int curing_buffers_register(
  struct curing_ring *ring, void *memory, uint32_t entries, uint16_t group) {
  io_uring_buf_ring_init(memory);
  struct io_uring_buf_reg registration = {
    .ring_addr = (uintptr_t)memory,
    .ring_entries = entries,
    .bgid = group,
  };
  return io_uring_register_buf_ring(&ring->uring, &registration, 0);
}

int curing_buffers_unregister(struct curing_ring *ring, uint16_t group) {
  return io_uring_unregister_buf_ring(&ring->uring, group);
}

void curing_buffers_add(
  void *memory, uint32_t entries, uint32_t position, void *address, uint32_t byte_count,
  uint16_t number) {
  io_uring_buf_ring_add(
    memory, address, byte_count, number, io_uring_buf_ring_mask(entries), (int)position);
}

void curing_buffers_publish(void *memory, uint32_t count) {
  io_uring_buf_ring_advance(memory, (int)count);
}
