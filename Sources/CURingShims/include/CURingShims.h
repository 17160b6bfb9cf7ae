// SPDX-License-Identifier: Apache-2.0
//
// An io_uring: making it, submitting to it, waiting for it, buffers that the kernel picks from, and
// zero-copy receive (io_uring_setup(2), io_uring_enter(2), io_uring_register(2)), over liburing.
// Why C: liburing's rings are inline functions with the barriers that they need; version 2.3 knows
// nothing of zero-copy receive, whose structures (include/uapi/linux/io_uring/zcrx.h of Linux 7.3)
// are declared in CURingZeroCopy.c with asserts of their sizes.
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
  /// Of a zero-copy receive: where the bytes are, with the area's number in the upper 16 bits.
  uint64_t offset;
};

/// Of `flags`: the upper half is a buffer's number; more will come of this request; nothing reads
/// the memory of a zero-copy send any more, and `result` has CURING_NOTIFICATION_COPIED if the
/// kernel copied after all.
extern const uint32_t CURING_COMPLETION_BUFFER;
extern const uint32_t CURING_COMPLETION_MORE;
extern const uint32_t CURING_COMPLETION_NOTIFICATION;
extern const uint32_t CURING_NOTIFICATION_COPIED;

/// Makes a ring for `entries` submissions and `completions` completions, both rounded up to powers
/// of two (Linux 5.5). The caller owns what `*ring` then points to. -EPERM where
/// /proc/sys/kernel/io_uring_disabled or a filter of system calls forbids it, -ENOSYS in a kernel
/// without io_uring, -EMFILE, -ENFILE, -ENOMEM (before Linux 5.12 also: above RLIMIT_MEMLOCK).
///
/// With `is_zero_copy` the ring can receive by zero copy: completions are twice as large, only the
/// thread that made the ring may use it, and the kernel does what there is to do in that thread's
/// calls of curing_ring_enter (IORING_SETUP_CQE32, SINGLE_ISSUER, DEFER_TASKRUN; Linux 6.1, -EINVAL
/// before).
int curing_ring_open(
  uint32_t entries, uint32_t completions, int is_zero_copy, struct curing_ring **ring);

/// Unmaps and closes. What is under way is cancelled by the kernel some time later: who lent it
/// memory cancels first and takes the memory back (curing_buffers_unregister).
void curing_ring_close(struct curing_ring *ring);

/// The descriptor to poll: readable when there are completions. Owned by the ring.
int curing_ring_descriptor(const struct curing_ring *ring);

/// Submits what was prepared, does what there is to do, and waits for one completion if `waits`.
/// Returns how many requests the kernel took. -EINTR when a signal came first, -EAGAIN and -EBUSY
/// when the kernel lacks memory for requests or completions.
int curing_ring_enter(struct curing_ring *ring, int waits);

/// Ends all requests with this `user_data`, and returns when they have ended (Linux 6.0). -ENOENT
/// where there is none; -EALREADY where one could not be stopped.
int curing_ring_cancel(struct curing_ring *ring, uint64_t user_data);

/// Takes the next completion off: 1, or 0 where there is none.
int curing_ring_next(struct curing_ring *ring, struct curing_completion *completion);

/// Prepares a receive that goes on until it is told otherwise (Linux 6.0): each completion is of
/// one buffer that the kernel picked from the group. -EBUSY where the submission queue is full.
int curing_ring_receive(struct curing_ring *ring, int socket, uint16_t group, uint64_t user_data);

/// Registers memory to send out of, by pieces of this size (IORING_REGISTER_BUFFERS): it is pinned
/// until the ring is closed and nothing is under way any more. -EFAULT for memory that cannot be
/// pinned (a dma-buf's own mapping), -ENOMEM (also: above RLIMIT_MEMLOCK).
int curing_memory_register(struct curing_ring *ring, void *address, size_t byte_count);
enum { CURING_MEMORY_PIECE = 1 << 30 };

/// Prepares a send of all bytes: without a copy out of a registered piece, which they lie in
/// (IORING_OP_SEND_ZC, Linux 6.2; one completion when the bytes are with the socket, another one
/// when nothing reads them any more), or an ordinary one where `piece` is -1. What is prepared next
/// begins after it if `is_followed`, and not at all if it fails (-ECANCELED). -EBUSY where the
/// submission queue is full.
int curing_ring_send(
  struct curing_ring *ring, int socket, const void *address, size_t byte_count, int piece,
  int is_followed, uint64_t user_data);

/// Messages that lie in several places, to be sent by one request each: at most `count` in all, of
/// at most `count` places in all. NULL without memory.
struct curing_messages;
struct curing_messages *curing_messages_open(uint32_t count);
void curing_messages_close(struct curing_messages *messages);

/// Forgets what was added. Not before what was prepared is submitted.
void curing_messages_clear(struct curing_messages *messages);

/// Adds a place to the message that curing_ring_send_message sends next.
void curing_messages_add(
  struct curing_messages *messages, const void *address, size_t byte_count);

/// As curing_ring_send without a copy, of all places that were added since the last one, which lie
/// in the registered piece (IORING_OP_SENDMSG_ZC out of registered memory).
int curing_ring_send_message(
  struct curing_ring *ring, int socket, struct curing_messages *messages, int piece,
  int is_followed, uint64_t user_data);

/// Whether the kernel sends such messages (Linux 6.15): 1 or 0. Asked by one of a byte at
/// `registered`, in the first piece, to no socket. Nothing may be under way.
int curing_ring_sends_messages(struct curing_ring *ring, const void *registered);

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

/// What this kernel knows of zero-copy receive (struct io_uring_query_zcrx); all 0 before
/// curing_zerocopy_query.
struct curing_zerocopy_capabilities {
  uint64_t register_flags;
  uint64_t area_flags;
  uint32_t control_count;
  uint32_t features;
  uint32_t refill_header_byte_count;
};

/// Of `register_flags`: an instance of another ring; without a network device, all bytes copied.
extern const uint64_t CURING_ZEROCOPY_IMPORT;
extern const uint64_t CURING_ZEROCOPY_NODEV;
/// Of `features`: buffers of another size than a page; events and counts.
extern const uint32_t CURING_ZEROCOPY_BUFFER_SIZE;
extern const uint32_t CURING_ZEROCOPY_EVENTS;

/// The result of an event's completion: a network card found no buffer; the kernel copied.
extern const uint32_t CURING_ZEROCOPY_EVENT_ALLOC_FAIL;
extern const uint32_t CURING_ZEROCOPY_EVENT_COPY;

/// Asks the kernel (IORING_REGISTER_QUERY, which needs no ring). -EINVAL from a kernel that cannot
/// be asked, -EOPNOTSUPP from one that does not know zero-copy receive, -EPERM and -ENOSYS as
/// curing_ring_open.
int curing_zerocopy_query(struct curing_zerocopy_capabilities *capabilities);

/// An instance of zero-copy receive, and its refill ring, by which buffers go to the kernel. The
/// addresses are inside the memory that it was registered with.
struct curing_zerocopy {
  uint32_t *head;
  uint32_t *tail;
  void *entries;
  /// What the kernel has copied; NULL where it does not count.
  const uint64_t *stats;
  uint32_t mask;
  uint32_t identifier;
  uint64_t area_token;
};

/// Bytes of memory for a refill ring of so many entries.
size_t curing_zerocopy_refill_byte_count(
  const struct curing_zerocopy_capabilities *capabilities, uint32_t entries);

/// Memory to receive into: an address, or a dma-buf from its beginning.
struct curing_zerocopy_memory {
  void *address;
  size_t byte_count;
  /// The descriptor of a dma-buf, -1 for what lies at `address`.
  int dmabuf;
};

/// What to register.
struct curing_zerocopy_request {
  /// A network card and its receive queue; 0 without one (ZCRX_REG_NODEV).
  uint32_t interface_index;
  uint32_t queue;
  struct curing_zerocopy_memory memory;
  /// Of the refill ring, curing_zerocopy_refill_byte_count(entries) bytes.
  void *refill;
  size_t refill_byte_count;
  /// A power of two, at most 32768.
  uint32_t entries;
  /// Bytes of a receive buffer, a power of two; 0 for a page.
  uint32_t buffer_byte_count;
  /// Whether completions with `event_user_data` say what happened, each once, and copies are
  /// counted.
  int wants_events;
  uint64_t event_user_data;
};

/// Registers memory to receive into (IORING_REGISTER_ZCRX_IFQ). All of it is the kernel's at first.
/// Both pieces of memory are aligned to a page, and stay as they are until the ring is closed, and
/// with a card until the queue is free again, some time later. -EFAULT for memory that cannot be
/// pinned (a dma-buf's own mapping), -EPERM, -EINVAL, -EOPNOTSUPP, -ENOMEM (also: above
/// RLIMIT_MEMLOCK); of a card as bind-rx: -ENODEV, -ERANGE, -EEXIST, -EBUSY.
int curing_zerocopy_register(
  struct curing_ring *ring, const struct curing_zerocopy_request *request,
  struct curing_zerocopy *zerocopy);

/// Adds memory at run time (ZCRX_CTRL_ADD_AREA), of the same kind as what is there. Its buffers are
/// named by offsets with `*token` in them. Errnos as curing_zerocopy_register.
int curing_zerocopy_add_area(
  struct curing_ring *ring, const struct curing_zerocopy *zerocopy,
  const struct curing_zerocopy_memory *memory, uint64_t *token);

/// Has an event that came be sent once more (ZCRX_CTRL_ARM_EVENT). -EINVAL for one that has not
/// come.
int curing_zerocopy_arm_event(
  struct curing_ring *ring, const struct curing_zerocopy *zerocopy, uint32_t event);

/// What the kernel has copied instead of leaving it where a card put it (struct zcrx_stats).
void curing_zerocopy_read_stats(
  const struct curing_zerocopy *zerocopy, uint64_t *copy_count, uint64_t *copy_byte_count);

/// A descriptor, which the caller owns, by which another ring gets the instance (ZCRX_CTRL_EXPORT).
/// It counts as a ring: the instance lasts as long as one of them. -EMFILE, -ENFILE, -ENOMEM.
int curing_zerocopy_export(struct curing_ring *ring, const struct curing_zerocopy *zerocopy);

/// Gives a ring an instance that was exported (ZCRX_REG_IMPORT): its requests may receive by it.
/// `zerocopy` has the mask and the token that the exporter knows; the rest is filled in. `refill`
/// is the same memory that the instance was registered with, `counts` whether it was with events.
/// -EBADF where `exported` is no instance, -EPERM without CAP_NET_ADMIN, -EUCLEAN where the refill
/// ring cannot be so large.
int curing_zerocopy_import(
  struct curing_ring *ring, int exported, void *refill, size_t refill_byte_count, int counts,
  struct curing_zerocopy *zerocopy);

/// Where the next entry of the refill ring goes; how many the kernel has not taken out.
uint32_t curing_zerocopy_tail(const struct curing_zerocopy *zerocopy);
uint32_t curing_zerocopy_unflushed(const struct curing_zerocopy *zerocopy);

/// Writes a buffer of the area with that token into the refill ring, behind those that are there,
/// of which the last one is at `tail` - 1: 0, -EBUSY where it is full, -EUCLEAN where somebody else
/// has written to it.
int curing_zerocopy_push(
  const struct curing_zerocopy *zerocopy, uint32_t tail, uint64_t token, uint64_t offset,
  uint32_t byte_count);

/// Has the kernel take what there is out of the refill ring, up to an entry that names no buffer
/// (ZCRX_CTRL_FLUSH_RQ).
int curing_zerocopy_flush(struct curing_ring *ring, const struct curing_zerocopy *zerocopy);

/// Prepares a zero-copy receive that goes on until it is told otherwise. -EBUSY where the
/// submission queue is full.
int curing_zerocopy_receive(
  struct curing_ring *ring, int socket, const struct curing_zerocopy *zerocopy,
  uint64_t user_data);

#ifdef __cplusplus
}
#endif
