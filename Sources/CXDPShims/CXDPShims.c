// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CXDPShims.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

// Of include/uapi/linux/if_xdp.h (Linux 6.6); Debian 12's header does not have it.
enum { USE_SG = 1 << 4 };

#define SAME(ours, theirs, field, member)                                          \
  _Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, member), \
                 #field " is libxdp's " #member)
SAME(cxdp_ring, xsk_ring_prod, cached_producer, cached_prod);
SAME(cxdp_ring, xsk_ring_prod, cached_consumer, cached_cons);
SAME(cxdp_ring, xsk_ring_prod, mask, mask);
SAME(cxdp_ring, xsk_ring_prod, size, size);
SAME(cxdp_ring, xsk_ring_prod, producer, producer);
SAME(cxdp_ring, xsk_ring_prod, consumer, consumer);
SAME(cxdp_ring, xsk_ring_prod, entries, ring);
SAME(cxdp_ring, xsk_ring_prod, flags, flags);
_Static_assert(sizeof(struct cxdp_ring) == sizeof(struct xsk_ring_prod), "a producer's ring");
_Static_assert(sizeof(struct cxdp_ring) == sizeof(struct xsk_ring_cons), "a consumer's ring");
SAME(cxdp_descriptor, xdp_desc, address, addr);
SAME(cxdp_descriptor, xdp_desc, length, len);
SAME(cxdp_descriptor, xdp_desc, options, options);
_Static_assert(sizeof(struct cxdp_descriptor) == sizeof(struct xdp_desc), "a descriptor");

struct cxdp_socket {
  struct xsk_umem *umem;
  // Null before it is bound.
  struct xsk_socket *xsk;
  struct cxdp_rings rings;
};

int cxdp_socket_open(
  void *address, uint64_t byte_count, uint32_t chunk_byte_count, uint32_t fill_count,
  uint32_t completion_count, struct cxdp_socket **socket) {
  struct cxdp_socket *made = calloc(1, sizeof *made);
  if (!made) return -ENOMEM;
  struct xsk_umem_config config = {
    .fill_size = fill_count,
    .comp_size = completion_count,
    .frame_size = chunk_byte_count,
  };
  int result = xsk_umem__create(
    &made->umem, address, byte_count, (struct xsk_ring_prod *)&made->rings.fill,
    (struct xsk_ring_cons *)&made->rings.completion, &config);
  if (result < 0) {
    free(made);
    return result;
  }
  *socket = made;
  return 0;
}

int cxdp_socket_bind(
  struct cxdp_socket *socket, const char *interface, uint32_t queue, uint32_t receive_count,
  uint32_t transmit_count, uint32_t flags) {
  struct xsk_socket_config config = {
    .rx_size = receive_count,
    .tx_size = transmit_count,
    .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
    .bind_flags = XDP_USE_NEED_WAKEUP,
  };
  if (flags & CXDP_ZERO_COPY) config.bind_flags |= XDP_ZEROCOPY;
  if (flags & CXDP_COPY) config.bind_flags |= XDP_COPY;
  if (flags & CXDP_MULTI_BUFFER) config.bind_flags |= USE_SG;
  return xsk_socket__create(
    &socket->xsk, interface, queue, socket->umem, (struct xsk_ring_cons *)&socket->rings.receive,
    (struct xsk_ring_prod *)&socket->rings.transmit, &config);
}

struct cxdp_rings *cxdp_socket_rings(struct cxdp_socket *socket) { return &socket->rings; }

void cxdp_socket_close(struct cxdp_socket *socket) {
  if (socket->xsk) xsk_socket__delete(socket->xsk);
  // Closes the descriptor, which is the memory's as well.
  xsk_umem__delete(socket->umem);
  free(socket);
}

void cxdp_rest(void) { usleep(10000); }

int cxdp_socket_descriptor(const struct cxdp_socket *socket) {
  return xsk_socket__fd(socket->xsk);
}

int cxdp_socket_kick(const struct cxdp_socket *socket) {
  return sendto(xsk_socket__fd(socket->xsk), NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? -errno : 0;
}

int cxdp_socket_wake(const struct cxdp_socket *socket) {
  return recvfrom(xsk_socket__fd(socket->xsk), NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0 ? -errno : 0;
}

int cxdp_socket_is_zero_copy(const struct cxdp_socket *socket) {
  struct xdp_options options = {0};
  socklen_t size = sizeof options;
  if (getsockopt(xsk_socket__fd(socket->xsk), SOL_XDP, XDP_OPTIONS, &options, &size) < 0) {
    return -errno;
  }
  return options.flags & XDP_OPTIONS_ZEROCOPY ? 1 : 0;
}

int cxdp_socket_statistics(const struct cxdp_socket *socket, struct cxdp_statistics *statistics) {
  struct xdp_statistics seen = {0};
  socklen_t size = sizeof seen;
  if (getsockopt(xsk_socket__fd(socket->xsk), SOL_XDP, XDP_STATISTICS, &seen, &size) < 0) {
    return -errno;
  }
  *statistics = (struct cxdp_statistics){
    .receive_dropped = seen.rx_dropped,
    .receive_invalid = seen.rx_invalid_descs,
    .transmit_invalid = seen.tx_invalid_descs,
    .receive_ring_full = seen.rx_ring_full,
    .fill_ring_empty = seen.rx_fill_ring_empty_descs,
    .transmit_ring_empty = seen.tx_ring_empty_descs,
  };
  return 0;
}

// MARK: The program

int cxdp_table_create(uint32_t queue_count) {
  int result = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "devmem_xsks", 4, 4, queue_count, NULL);
  return result < 0 ? -errno : result;
}

int cxdp_table_set(int table, uint32_t queue, int socket) {
  return bpf_map_update_elem(table, &queue, &socket, 0) < 0 ? -errno : 0;
}

int cxdp_table_remove(int table, uint32_t queue) {
  return bpf_map_delete_elem(table, &queue) < 0 ? -errno : 0;
}

// What the program is made of, as include/linux/filter.h has it.
#define MOVE(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = to, .src_reg = from}
#define MOVE_NUMBER(to, number) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = to, .imm = number}
#define ADD_NUMBER(to, number) {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = to, .imm = number}
#define LOAD(size, to, from, at) \
  {.code = BPF_LDX | BPF_MEM | (size), .dst_reg = to, .src_reg = from, .off = at}
#define JUMP(how, one, other, over) \
  {.code = BPF_JMP | (how) | BPF_X, .dst_reg = one, .src_reg = other, .off = over}
#define JUMP_NUMBER(how, one, number, over) \
  {.code = BPF_JMP | (how) | BPF_K, .dst_reg = one, .imm = (int32_t)(number), .off = over}
#define LOAD_TABLE(to, table)                                                              \
  {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = to, .src_reg = BPF_PSEUDO_MAP_FD, .imm = table}, \
    {.code = 0}
#define CALL(function) {.code = BPF_JMP | BPF_CALL, .imm = function}
#define EXIT {.code = BPF_JMP | BPF_EXIT}

int cxdp_program_load(int table, int udp_port, bool is_multi_buffer) {
  const uint16_t port = __builtin_bswap16((uint16_t)udp_port);
  // r1: struct xdp_md. Headers are read where they lie whole in the first buffer.
  const struct bpf_insn filter[] = {
    LOAD(BPF_W, BPF_REG_2, BPF_REG_1, offsetof(struct xdp_md, data)),
    LOAD(BPF_W, BPF_REG_3, BPF_REG_1, offsetof(struct xdp_md, data_end)),
    MOVE(BPF_REG_4, BPF_REG_2),
    // Ethernet, IPv4 and UDP.
    ADD_NUMBER(BPF_REG_4, 14 + 20 + 8),
    JUMP(BPF_JGT, BPF_REG_4, BPF_REG_3, 15),
    LOAD(BPF_H, BPF_REG_5, BPF_REG_2, 12),
    JUMP_NUMBER(BPF_JNE, BPF_REG_5, 0x0008, 5),
    LOAD(BPF_B, BPF_REG_5, BPF_REG_2, 14),
    JUMP_NUMBER(BPF_JNE, BPF_REG_5, 0x45, 11),
    LOAD(BPF_B, BPF_REG_5, BPF_REG_2, 14 + 9),
    LOAD(BPF_H, BPF_REG_0, BPF_REG_2, 14 + 20 + 2),
    JUMP_NUMBER(BPF_JA, 0, 0, 6),
    // Or IPv6.
    JUMP_NUMBER(BPF_JNE, BPF_REG_5, 0xdd86, 7),
    MOVE(BPF_REG_4, BPF_REG_2),
    ADD_NUMBER(BPF_REG_4, 14 + 40 + 8),
    JUMP(BPF_JGT, BPF_REG_4, BPF_REG_3, 4),
    LOAD(BPF_B, BPF_REG_5, BPF_REG_2, 14 + 6),
    LOAD(BPF_H, BPF_REG_0, BPF_REG_2, 14 + 40 + 2),
    JUMP_NUMBER(BPF_JNE, BPF_REG_5, 17, 1),
    JUMP_NUMBER(BPF_JEQ, BPF_REG_0, port, 2),
    MOVE_NUMBER(BPF_REG_0, XDP_PASS),
    EXIT,
  };
  const struct bpf_insn redirect[] = {
    LOAD(BPF_W, BPF_REG_2, BPF_REG_1, offsetof(struct xdp_md, rx_queue_index)),
    LOAD_TABLE(BPF_REG_1, table),
    // What is done where the queue has no socket.
    MOVE_NUMBER(BPF_REG_3, XDP_PASS),
    CALL(BPF_FUNC_redirect_map),
    EXIT,
  };
  struct bpf_insn program[sizeof filter / sizeof *filter + sizeof redirect / sizeof *redirect];
  size_t count = 0;
  if (udp_port) {
    memcpy(program, filter, sizeof filter);
    count = sizeof filter / sizeof *filter;
  }
  memcpy(program + count, redirect, sizeof redirect);
  count += sizeof redirect / sizeof *redirect;
  LIBBPF_OPTS(
    bpf_prog_load_opts, options, .prog_flags = is_multi_buffer ? BPF_F_XDP_HAS_FRAGS : 0,
    .expected_attach_type = BPF_XDP);
  int result = bpf_prog_load(
    BPF_PROG_TYPE_XDP, "devmem_xdp", "Dual BSD/GPL", program, count, &options);
  return result < 0 ? -errno : result;
}

int cxdp_program_attach(int program, uint32_t interface_index, bool is_generic) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = is_generic ? XDP_FLAGS_SKB_MODE : 0);
  int result = bpf_link_create(program, (int)interface_index, BPF_XDP, &options);
  return result < 0 ? -errno : result;
}

