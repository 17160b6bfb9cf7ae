// SPDX-License-Identifier: Apache-2.0
//
// AF_XDP over libxdp and libbpf: memory that packets lie in (a UMEM), sockets on a queue of an
// interface, their four rings, and the program that sends packets there.
//
// Why C: libxdp's header does not come through the importer (atomic built-ins on its rings), and
// the program is put together from the instructions' encodings.
//
// Functions that can fail return `>= 0` or `-errno`. What takes a packet's time is inline.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One of the four rings of a socket, as it is mapped: the kernel is at the other end. The layout
/// is libxdp's `struct xsk_ring_prod` and `xsk_ring_cons`.
struct cxdp_ring {
  uint32_t cached_producer, cached_consumer;
  uint32_t mask, size;
  uint32_t *producer, *consumer;
  void *entries;
  uint32_t *flags;
};

/// What receiving and sending go by (`struct xdp_desc`).
struct cxdp_descriptor {
  uint64_t address;
  uint32_t length;
  uint32_t options;
};

/// In `options`: the packet goes on in the next descriptor (`XDP_PKT_CONTD`, Linux 6.6).
#define CXDP_CONTINUED (1u << 0)
/// In a ring's flags: the kernel has to be told (`XDP_RING_NEED_WAKEUP`).
#define CXDP_NEEDS_WAKEUP (1u << 0)

struct cxdp_socket;

/// Opens a socket, and registers `byte_count` bytes as memory for its packets, in chunks of
/// `chunk_byte_count`.
///
/// Each socket registers its memory itself, also where several have the same: of sockets that share
/// a registration, the first cannot be closed before the others.
int cxdp_socket_open(
  void *address, uint64_t byte_count, uint32_t chunk_byte_count, uint32_t fill_count,
  uint32_t completion_count, struct cxdp_socket **socket);

enum {
  /// Refuse where the card cannot do it without a copy, or always copy; neither: the kernel
  /// chooses.
  CXDP_ZERO_COPY = 1,
  CXDP_COPY = 2,
  /// Packets may be longer than a chunk (`XDP_USE_SG`).
  CXDP_MULTI_BUFFER = 4,
};

/// What a socket's rings are.
struct cxdp_rings {
  struct cxdp_ring fill, completion, receive, transmit;
};

/// Binds it to a queue, once; after a failure it can only be closed. No program is loaded.
int cxdp_socket_bind(
  struct cxdp_socket *socket, const char *interface, uint32_t queue, uint32_t receive_count,
  uint32_t transmit_count, uint32_t flags);
/// They stay where they are until the socket is closed.
struct cxdp_rings *cxdp_socket_rings(struct cxdp_socket *socket);
/// The kernel touches the memory no more after this, unless it was without copies.
void cxdp_socket_close(struct cxdp_socket *socket);
/// Ten milliseconds, for a queue that is about to be free.
void cxdp_rest(void);
int cxdp_socket_descriptor(const struct cxdp_socket *socket);
/// Has the kernel look at the transmit ring.
int cxdp_socket_kick(const struct cxdp_socket *socket);
/// Has the kernel look at the fill ring (`recvfrom`), where it asked for that.
int cxdp_socket_wake(const struct cxdp_socket *socket);
/// 1 where packets are not copied (`XDP_OPTIONS_ZEROCOPY`).
int cxdp_socket_is_zero_copy(const struct cxdp_socket *socket);

/// `struct xdp_statistics`.
struct cxdp_statistics {
  uint64_t receive_dropped, receive_invalid, transmit_invalid;
  uint64_t receive_ring_full, fill_ring_empty, transmit_ring_empty;
};
int cxdp_socket_statistics(const struct cxdp_socket *socket, struct cxdp_statistics *statistics);

/// Makes the table that a program finds sockets in, by queue; returns its descriptor.
int cxdp_table_create(uint32_t queue_count);
int cxdp_table_set(int table, uint32_t queue, int socket);
int cxdp_table_remove(int table, uint32_t queue);
/// Loads the program: packets of a queue with a socket go there, others to the kernel. With a
/// `udp_port` of 1 to 65535 only UDP packets to that port do (IPv4 without options, IPv6 without
/// extension headers, no VLAN). Returns its descriptor.
int cxdp_program_load(int table, int udp_port, bool is_multi_buffer);
/// Attaches it: detached when the link's last descriptor is closed, be it by a kill. Returns that
/// descriptor. `is_generic`: on top of the driver, for those that cannot run programs.
int cxdp_program_attach(int program, uint32_t interface_index, bool is_generic);

// MARK: What takes a packet's time

/// Entries that a producer may fill: at least `count` if there are so many, else what there are.
static inline uint32_t cxdp_ring_room(struct cxdp_ring *ring, uint32_t count) {
  uint32_t room = ring->cached_consumer - ring->cached_producer;
  if (room >= count) return room;
  // The cached consumer is ahead by the ring's size.
  ring->cached_consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE) + ring->size;
  return ring->cached_consumer - ring->cached_producer;
}

/// Entries that a consumer may take. Where it has taken all that it knew of, the kernel gets their
/// places.
static inline uint32_t cxdp_ring_available(struct cxdp_ring *ring) {
  uint32_t entries = ring->cached_producer - ring->cached_consumer;
  if (entries) return entries;
  __atomic_store_n(ring->consumer, ring->cached_consumer, __ATOMIC_RELEASE);
  ring->cached_producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
  return ring->cached_producer - ring->cached_consumer;
}

/// The producer's next entry, which it has room for.
static inline void cxdp_ring_put_address(struct cxdp_ring *ring, uint64_t address) {
  ((uint64_t *)ring->entries)[ring->cached_producer++ & ring->mask] = address;
}
static inline void cxdp_ring_put(struct cxdp_ring *ring, struct cxdp_descriptor descriptor) {
  ((struct cxdp_descriptor *)ring->entries)[ring->cached_producer++ & ring->mask] = descriptor;
}
/// Shows the kernel all that was put.
static inline void cxdp_ring_publish(struct cxdp_ring *ring) {
  __atomic_store_n(ring->producer, ring->cached_producer, __ATOMIC_RELEASE);
}

/// The consumer's next entry, which there is.
static inline uint64_t cxdp_ring_take_address(struct cxdp_ring *ring) {
  return ((const uint64_t *)ring->entries)[ring->cached_consumer++ & ring->mask];
}
static inline struct cxdp_descriptor cxdp_ring_take(struct cxdp_ring *ring) {
  return ((const struct cxdp_descriptor *)ring->entries)[ring->cached_consumer++ & ring->mask];
}
/// Gives the kernel all entries that were taken.
static inline void cxdp_ring_release(struct cxdp_ring *ring) {
  __atomic_store_n(ring->consumer, ring->cached_consumer, __ATOMIC_RELEASE);
}

static inline bool cxdp_ring_needs_wakeup(const struct cxdp_ring *ring) {
  return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & CXDP_NEEDS_WAKEUP;
}

#ifdef __cplusplus
}
#endif
