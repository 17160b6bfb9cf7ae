// SPDX-License-Identifier: Apache-2.0
//
// Zero-copy receive, which liburing 2.3 and Debian 12's headers do not have. The structures are
// those of include/uapi/linux/io_uring/{zcrx,query}.h and io_uring.h in Linux 7.3.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CURingRing.h"

enum {
  REGISTER_ZCRX_IFQ = 32,   // IORING_REGISTER_ZCRX_IFQ
  REGISTER_QUERY = 35,      // IORING_REGISTER_QUERY
  REGISTER_ZCRX_CTRL = 36,  // IORING_REGISTER_ZCRX_CTRL
  QUERY_ZCRX = 1,           // IO_URING_QUERY_ZCRX
  REGION_OF_USER = 1,       // IORING_MEM_REGION_TYPE_USER
  CONTROL_FLUSH_RQ = 0,     // ZCRX_CTRL_FLUSH_RQ
  CONTROL_EXPORT = 1,       // ZCRX_CTRL_EXPORT
  CONTROL_ARM_EVENT = 2,    // ZCRX_CTRL_ARM_EVENT
  CONTROL_ADD_AREA = 3,     // ZCRX_CTRL_ADD_AREA
  AREA_DMABUF = 1,          // IORING_ZCRX_AREA_DMABUF
  EVENT_ALL = 3,            // 1 << ZCRX_EVENT_ALLOC_FAIL | 1 << ZCRX_EVENT_COPY
  EVENT_STATS = 1,          // ZCRX_EVENT_DESC_FLAG_STATS
  OP_RECV_ZC = 58,          // IORING_OP_RECV_ZC
};

const uint64_t CURING_ZEROCOPY_IMPORT = 1;          // ZCRX_REG_IMPORT
const uint64_t CURING_ZEROCOPY_NODEV = 2;           // ZCRX_REG_NODEV
const uint32_t CURING_ZEROCOPY_BUFFER_SIZE = 1;     // ZCRX_FEATURE_RX_PAGE_SIZE
const uint32_t CURING_ZEROCOPY_EVENTS = 2;          // ZCRX_FEATURE_EVENT
const uint32_t CURING_ZEROCOPY_EVENT_ALLOC_FAIL = 0;  // ZCRX_EVENT_ALLOC_FAIL
const uint32_t CURING_ZEROCOPY_EVENT_COPY = 1;        // ZCRX_EVENT_COPY

struct query_header {
  uint64_t next_entry;
  uint64_t query_data;
  uint32_t query_op;
  uint32_t size;
  int32_t result;
  uint32_t reserved[3];
};
_Static_assert(sizeof(struct query_header) == 40, "struct io_uring_query_hdr");

struct query_zcrx {
  uint64_t register_flags;
  uint64_t area_flags;
  uint32_t control_count;
  uint32_t features;
  uint32_t refill_header_byte_count;
  uint32_t refill_header_alignment;
  uint64_t reserved;
};
_Static_assert(sizeof(struct query_zcrx) == 40, "struct io_uring_query_zcrx");

struct region {
  uint64_t user_addr;
  uint64_t size;
  uint32_t flags;
  uint32_t id;
  uint64_t mmap_offset;
  uint64_t reserved[4];
};
_Static_assert(sizeof(struct region) == 64, "struct io_uring_region_desc");

struct area_registration {
  uint64_t addr;
  uint64_t len;
  uint64_t rq_area_token;
  uint32_t flags;
  uint32_t dmabuf_fd;
  uint64_t reserved[2];
};
_Static_assert(sizeof(struct area_registration) == 48, "struct io_uring_zcrx_area_reg");

struct registration {
  uint32_t if_idx;
  uint32_t if_rxq;
  uint32_t rq_entries;
  uint32_t flags;
  uint64_t area_ptr;
  uint64_t region_ptr;
  struct {
    uint32_t head;
    uint32_t tail;
    uint32_t rqes;
    uint32_t reserved;
    uint64_t reserved_too[2];
  } offsets;
  uint32_t zcrx_id;
  uint32_t rx_buf_len;
  uint64_t event_desc;
  uint64_t reserved[2];
};
_Static_assert(sizeof(struct registration) == 96, "struct io_uring_zcrx_ifq_reg");
_Static_assert(offsetof(struct registration, zcrx_id) == 64, "struct io_uring_zcrx_ifq_reg");

struct event_description {
  uint64_t user_data;
  uint32_t type_mask;
  uint32_t flags;
  uint64_t stats_offset;
  uint64_t reserved[9];
};
_Static_assert(sizeof(struct event_description) == 96, "struct zcrx_event_desc");

// What is below is the kernel's to write: struct zcrx_stats.
enum { STATS_BYTE_COUNT = 16 };

struct control {
  uint32_t zcrx_id;
  uint32_t op;
  uint64_t reserved[2];
  uint64_t arguments[6];
};
_Static_assert(sizeof(struct control) == 72, "struct zcrx_ctrl");

struct refill_entry {
  uint64_t off;
  uint32_t len;
  uint32_t padding;
};
_Static_assert(sizeof(struct refill_entry) == 16, "struct io_uring_zcrx_rqe");

// The instance's number stands in the same four bytes.
_Static_assert(offsetof(struct io_uring_sqe, splice_fd_in) == 44, "zcrx_ifq_idx of an entry");

static int call_register(int ring, unsigned operation, void *argument, unsigned count) {
  long result = syscall(__NR_io_uring_register, ring, operation, argument, count);
  return result < 0 ? -errno : (int)result;
}

int curing_zerocopy_query(struct curing_zerocopy_capabilities *capabilities) {
  struct query_zcrx answer = {0};
  struct query_header header = {
    .query_data = (uintptr_t)&answer,
    .query_op = QUERY_ZCRX,
    .size = sizeof answer,
  };
  int result = call_register(-1, REGISTER_QUERY, &header, 0);
  if (result < 0) return result;
  if (header.result < 0) return header.result;
  *capabilities = (struct curing_zerocopy_capabilities){
    .register_flags = answer.register_flags,
    .area_flags = answer.area_flags,
    .control_count = answer.control_count,
    .features = answer.features,
    .refill_header_byte_count = answer.refill_header_byte_count,
  };
  return 0;
}

size_t curing_zerocopy_refill_byte_count(
  const struct curing_zerocopy_capabilities *capabilities, uint32_t entries) {
  // The kernel says where the entries begin; a page for what is before them is always enough. The
  // counts come last.
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t header = (capabilities->refill_header_byte_count + page - 1) / page * page;
  size_t bytes =
    (header ? header : page) + entries * sizeof(struct refill_entry) + STATS_BYTE_COUNT;
  return (bytes + page - 1) / page * page;
}

static struct area_registration describe_area(const struct curing_zerocopy_memory *memory) {
  return (struct area_registration){
    // A dma-buf from its beginning.
    .addr = memory->dmabuf < 0 ? (uintptr_t)memory->address : 0,
    .len = memory->byte_count,
    .flags = memory->dmabuf < 0 ? 0 : AREA_DMABUF,
    .dmabuf_fd = memory->dmabuf < 0 ? 0 : (uint32_t)memory->dmabuf,
  };
}

static void place(
  struct curing_zerocopy *zerocopy, const struct registration *registration, char *base,
  size_t refill_byte_count, int counts) {
  zerocopy->head = (uint32_t *)(base + registration->offsets.head);
  zerocopy->tail = (uint32_t *)(base + registration->offsets.tail);
  zerocopy->entries = base + registration->offsets.rqes;
  zerocopy->stats = counts ? (uint64_t *)(base + refill_byte_count - STATS_BYTE_COUNT) : NULL;
  zerocopy->identifier = registration->zcrx_id;
}

int curing_zerocopy_register(
  struct curing_ring *ring, const struct curing_zerocopy_request *request,
  struct curing_zerocopy *zerocopy) {
  struct region region = {
    .user_addr = (uintptr_t)request->refill,
    .size = request->refill_byte_count,
    .flags = REGION_OF_USER,
  };
  struct area_registration area = describe_area(&request->memory);
  size_t stats = request->refill_byte_count - STATS_BYTE_COUNT;
  struct event_description events = {
    .user_data = request->event_user_data,
    .type_mask = EVENT_ALL,
    .flags = EVENT_STATS,
    .stats_offset = stats,
  };
  struct registration registration = {
    .if_idx = request->interface_index,
    .if_rxq = request->queue,
    .rq_entries = request->entries,
    .flags = request->interface_index ? 0 : (uint32_t)CURING_ZEROCOPY_NODEV,
    .area_ptr = (uintptr_t)&area,
    .region_ptr = (uintptr_t)&region,
    .rx_buf_len = request->buffer_byte_count,
    .event_desc = request->wants_events ? (uintptr_t)&events : 0,
  };
  int result = call_register(ring->uring.ring_fd, REGISTER_ZCRX_IFQ, &registration, 1);
  if (result < 0) return result;
  zerocopy->mask = registration.rq_entries - 1;
  zerocopy->area_token = area.rq_area_token;
  place(
    zerocopy, &registration, request->refill, request->refill_byte_count, request->wants_events);
  return 0;
}

static int call_control(
  struct curing_ring *ring, const struct curing_zerocopy *zerocopy, uint32_t operation,
  uint64_t argument) {
  struct control control = {
    .zcrx_id = zerocopy->identifier,
    .op = operation,
    .arguments = {argument},
  };
  return call_register(ring->uring.ring_fd, REGISTER_ZCRX_CTRL, &control, 0);
}

int curing_zerocopy_add_area(
  struct curing_ring *ring, const struct curing_zerocopy *zerocopy,
  const struct curing_zerocopy_memory *memory, uint64_t *token) {
  struct area_registration area = describe_area(memory);
  int result = call_control(ring, zerocopy, CONTROL_ADD_AREA, (uintptr_t)&area);
  if (result >= 0) *token = area.rq_area_token;
  return result;
}

int curing_zerocopy_export(struct curing_ring *ring, const struct curing_zerocopy *zerocopy) {
  struct control control = {
    .zcrx_id = zerocopy->identifier,
    .op = CONTROL_EXPORT,
  };
  int result = call_register(ring->uring.ring_fd, REGISTER_ZCRX_CTRL, &control, 0);
  // zcrx_fd, in the lower half.
  return result < 0 ? result : (int)(uint32_t)control.arguments[0];
}

int curing_zerocopy_import(
  struct curing_ring *ring, int exported, void *refill, size_t refill_byte_count, int counts,
  struct curing_zerocopy *zerocopy) {
  struct registration registration = {
    .if_idx = (uint32_t)exported,
    .flags = (uint32_t)CURING_ZEROCOPY_IMPORT,
  };
  int result = call_register(ring->uring.ring_fd, REGISTER_ZCRX_IFQ, &registration, 1);
  if (result < 0) return result;
  size_t end =
    registration.offsets.rqes + (zerocopy->mask + (size_t)1) * sizeof(struct refill_entry);
  if (end > refill_byte_count) return -EUCLEAN;
  place(zerocopy, &registration, refill, refill_byte_count, counts);
  return 0;
}

// The number stands in the lower half of the argument, the upper one is reserved: little-endian, as
// are all processors that this runs on.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "event_type of struct zcrx_ctrl");

int curing_zerocopy_arm_event(
  struct curing_ring *ring, const struct curing_zerocopy *zerocopy, uint32_t event) {
  return call_control(ring, zerocopy, CONTROL_ARM_EVENT, event);
}

uint32_t curing_zerocopy_tail(const struct curing_zerocopy *zerocopy) {
  return __atomic_load_n(zerocopy->tail, __ATOMIC_ACQUIRE);
}

uint32_t curing_zerocopy_unflushed(const struct curing_zerocopy *zerocopy) {
  return curing_zerocopy_tail(zerocopy) - __atomic_load_n(zerocopy->head, __ATOMIC_ACQUIRE);
}

int curing_zerocopy_push(
  const struct curing_zerocopy *zerocopy, uint32_t tail, uint64_t token, uint64_t offset,
  uint32_t byte_count) {
  uint32_t count = tail - __atomic_load_n(zerocopy->head, __ATOMIC_ACQUIRE);
  if (curing_zerocopy_tail(zerocopy) != tail || count > zerocopy->mask + 1) return -EUCLEAN;
  if (count > zerocopy->mask) return -EBUSY;
  struct refill_entry *entry = (struct refill_entry *)zerocopy->entries + (tail & zerocopy->mask);
  *entry = (struct refill_entry){
    .off = offset | token,
    .len = byte_count,
  };
  // The kernel reads the entry after the tail.
  __atomic_store_n(zerocopy->tail, tail + 1, __ATOMIC_RELEASE);
  return 0;
}

int curing_zerocopy_flush(struct curing_ring *ring, const struct curing_zerocopy *zerocopy) {
  return call_control(ring, zerocopy, CONTROL_FLUSH_RQ, 0);
}

void curing_zerocopy_read_stats(
  const struct curing_zerocopy *zerocopy, uint64_t *copy_count, uint64_t *copy_byte_count) {
  // The kernel counts on whatever thread receives.
  *copy_count = zerocopy->stats ? __atomic_load_n(&zerocopy->stats[0], __ATOMIC_RELAXED) : 0;
  *copy_byte_count = zerocopy->stats ? __atomic_load_n(&zerocopy->stats[1], __ATOMIC_RELAXED) : 0;
}

int curing_zerocopy_receive(
  struct curing_ring *ring, int socket, const struct curing_zerocopy *zerocopy,
  uint64_t user_data) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (!entry) return -EBUSY;
  io_uring_prep_rw(OP_RECV_ZC, entry, socket, NULL, 0, 0);
  entry->ioprio |= IORING_RECV_MULTISHOT;
  entry->splice_fd_in = (int32_t)zerocopy->identifier;
  io_uring_sqe_set_data64(entry, user_data);
  return 0;
}
