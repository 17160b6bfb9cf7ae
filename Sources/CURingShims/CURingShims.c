// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CURingRing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const uint32_t CURING_COMPLETION_BUFFER = IORING_CQE_F_BUFFER;
const uint32_t CURING_COMPLETION_MORE = IORING_CQE_F_MORE;
const uint32_t CURING_COMPLETION_NOTIFICATION = IORING_CQE_F_NOTIF;

// Of include/uapi/linux/io_uring.h; liburing 2.3 does not have them.
enum {
  SEND_FIXED_BUFFER = 1 << 2,     // IORING_RECVSEND_FIXED_BUF
  SEND_ZC_REPORT_USAGE = 1 << 3,  // IORING_SEND_ZC_REPORT_USAGE
};
const uint32_t CURING_NOTIFICATION_COPIED = 1u << 31;  // IORING_NOTIF_USAGE_ZC_COPIED

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

// Whether there is none, and the kernel has nothing to do for one either: liburing would look in a
// function of its own.
static int is_empty(struct io_uring *uring) {
  const unsigned work = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
  return io_uring_cq_ready(uring) == 0 && !(IO_URING_READ_ONCE(*uring->sq.kflags) & work);
}

int curing_ring_next(struct curing_ring *ring, struct curing_completion *completion) {
  struct io_uring_cqe *entry;
  if (is_empty(&ring->uring) || io_uring_peek_cqe(&ring->uring, &entry) != 0) return 0;
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

int curing_memory_register(struct curing_ring *ring, void *address, size_t byte_count) {
  // A buffer is at most 1 GiB (io_buffer_validate, io_uring/rsrc.c).
  const size_t piece = CURING_MEMORY_PIECE;
  size_t count = (byte_count + piece - 1) / piece;
  struct iovec *pieces = calloc(count, sizeof *pieces);
  if (!pieces) return -ENOMEM;
  for (size_t i = 0; i < count; i++) {
    size_t start = i * piece, rest = byte_count - start;
    pieces[i].iov_base = (char *)address + start;
    pieces[i].iov_len = rest < piece ? rest : piece;
  }
  int result = io_uring_register_buffers(&ring->uring, pieces, (unsigned)count);
  free(pieces);
  return result;
}

int curing_ring_send(
  struct curing_ring *ring, int socket, const void *address, size_t byte_count, int piece,
  int is_followed, uint64_t user_data) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (!entry) return -EBUSY;
  // All of it, before the next one of the chain begins.
  int flags = MSG_NOSIGNAL | MSG_WAITALL;
  if (piece < 0) {
    io_uring_prep_send(entry, socket, address, byte_count, flags);
  } else {
    io_uring_prep_send_zc_fixed(
      entry, socket, address, byte_count, flags, SEND_ZC_REPORT_USAGE, (unsigned)piece);
  }
  if (is_followed) entry->flags |= IOSQE_IO_LINK;
  io_uring_sqe_set_data64(entry, user_data);
  return 0;
}

struct curing_messages {
  uint32_t message_count;
  uint32_t begun;
  uint32_t vector_count;
  struct msghdr *headers;
  struct iovec *vectors;
};

struct curing_messages *curing_messages_open(uint32_t count) {
  size_t bytes = sizeof(struct curing_messages);
  bytes += count * (sizeof(struct msghdr) + sizeof(struct iovec));
  struct curing_messages *messages = calloc(1, bytes);
  if (!messages) return NULL;
  messages->headers = (struct msghdr *)(messages + 1);
  messages->vectors = (struct iovec *)(messages->headers + count);
  return messages;
}

void curing_messages_close(struct curing_messages *messages) { free(messages); }

void curing_messages_clear(struct curing_messages *messages) {
  messages->message_count = messages->begun = messages->vector_count = 0;
}

void curing_messages_add(
  struct curing_messages *messages, const void *address, size_t byte_count) {
  messages->vectors[messages->vector_count++] =
    (struct iovec){.iov_base = (void *)address, .iov_len = byte_count};
}

static void prepare_message(
  struct io_uring_sqe *entry, int socket, struct msghdr *header, int piece) {
  io_uring_prep_sendmsg_zc(entry, socket, header, MSG_NOSIGNAL | MSG_WAITALL);
  entry->ioprio |= SEND_FIXED_BUFFER | SEND_ZC_REPORT_USAGE;
  entry->buf_index = (uint16_t)piece;
}

int curing_ring_send_message(
  struct curing_ring *ring, int socket, struct curing_messages *messages, int piece,
  int is_followed, uint64_t user_data) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (!entry) return -EBUSY;
  struct msghdr *header = &messages->headers[messages->message_count++];
  *header = (struct msghdr){
    .msg_iov = messages->vectors + messages->begun,
    .msg_iovlen = messages->vector_count - messages->begun,
  };
  messages->begun = messages->vector_count;
  prepare_message(entry, socket, header, piece);
  if (is_followed) entry->flags |= IOSQE_IO_LINK;
  io_uring_sqe_set_data64(entry, user_data);
  return 0;
}

int curing_ring_sends_messages(struct curing_ring *ring, const void *registered) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (!entry) return -EBUSY;
  struct iovec vector = {.iov_base = (void *)registered, .iov_len = 1};
  struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
  // What the kernel does not know it refuses before it looks for the socket.
  prepare_message(entry, -1, &header, 0);
  int result = 0, is_known = 0;
  for (int is_done = 0; !is_done && result >= 0;) {
    result = io_uring_submit_and_wait(&ring->uring, 1);
    struct curing_completion completion;
    while (curing_ring_next(ring, &completion)) {
      if (!(completion.flags & CURING_COMPLETION_NOTIFICATION)) {
        is_known = completion.result != -EINVAL;
      }
      if (!(completion.flags & CURING_COMPLETION_MORE)) is_done = 1;
    }
    if (result == -EINTR) result = 0;
  }
  return result < 0 ? result : is_known;
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
