// SPDX-License-Identifier: Apache-2.0
//
// What Benchmarks/Wires/Ours does, as one would write it in C on liburing, and the other end for
// both.
//
//   wires recv BYTES SIZE          multishot receive into 64 provided buffers of SIZE
//   wires send BYTES SIZE          zero-copy sends of SIZE out of registered memory, 64 in flight
//   wires peer recv|send PORT BYTES SIZE    the other end of one of these
//
// The first two listen on a port that they print, and print the nanoseconds from the connection to
// the last byte (of send: until nothing reads the memory any more).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 64, GROUP = 0 };

static void check(int is_good, const char *what) {
  if (is_good) return;
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct sockaddr_in loopback(uint16_t port) {
  return (struct sockaddr_in){
    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int accept_one(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  check(bind(listener, (struct sockaddr *)&address, size) == 0, "bind");
  check(listen(listener, 1) == 0, "listen");
  check(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  int stream = accept(listener, NULL, NULL);
  check(stream >= 0, "accept");
  // A small packet does not wait for the one before it to be acknowledged.
  int is_on = 1;
  check(setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on) == 0, "TCP_NODELAY");
  close(listener);
  return stream;
}

static char *memory_of(size_t byte_count) {
  char *memory = mmap(
    NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  check(memory != MAP_FAILED, "mmap");
  return memory;
}

static void receive(size_t size) {
  struct io_uring ring;
  check(io_uring_queue_init(8, &ring, 0) == 0, "io_uring_queue_init");
  char *memory = memory_of(BUFFERS * size);
  struct io_uring_buf_ring *buffers =
    (struct io_uring_buf_ring *)memory_of(BUFFERS * sizeof(struct io_uring_buf));
  struct io_uring_buf_reg registration = {
    .ring_addr = (uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
  check(io_uring_register_buf_ring(&ring, &registration, 0) == 0, "register_buf_ring");
  io_uring_buf_ring_init(buffers);
  int mask = io_uring_buf_ring_mask(BUFFERS);
  for (int i = 0; i < BUFFERS; i++) {
    io_uring_buf_ring_add(buffers, memory + i * size, (unsigned)size, (uint16_t)i, mask, i);
  }
  io_uring_buf_ring_advance(buffers, BUFFERS);
  int stream = accept_one();
  uint64_t start = now();
  int is_receiving = 0;
  for (int is_done = 0; !is_done;) {
    if (!is_receiving) {
      struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
      io_uring_prep_recv_multishot(entry, stream, NULL, 0, 0);
      entry->flags |= IOSQE_BUFFER_SELECT;
      entry->buf_group = GROUP;
      is_receiving = 1;
    }
    check(io_uring_submit_and_wait(&ring, 1) >= 0, "submit_and_wait");
    struct io_uring_cqe *completion;
    unsigned head, count = 0;
    int added = 0;
    io_uring_for_each_cqe(&ring, head, completion) {
      count++;
      if (!(completion->flags & IORING_CQE_F_MORE)) is_receiving = 0;
      if (completion->res == 0) is_done = 1;
      if (completion->res <= 0) continue;
      int number = (int)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
      io_uring_buf_ring_add(
        buffers, memory + (size_t)number * size, (unsigned)size, (uint16_t)number, mask, added++);
    }
    io_uring_buf_ring_advance(buffers, added);
    io_uring_cq_advance(&ring, count);
  }
  printf("%llu\n", (unsigned long long)(now() - start));
}

static void send_all(size_t byte_count, size_t size) {
  struct io_uring ring;
  check(io_uring_queue_init(64, &ring, 0) == 0, "io_uring_queue_init");
  char *memory = memory_of(BUFFERS * size);
  struct iovec all = {.iov_base = memory, .iov_len = BUFFERS * size};
  check(io_uring_register_buffers(&ring, &all, 1) == 0, "register_buffers");
  int stream = accept_one();
  uint64_t start = now();
  size_t sent = 0;
  int in_flight = 0, next = 0;
  while (sent < byte_count || in_flight > 0) {
    if (sent < byte_count && in_flight < BUFFERS) {
      struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
      io_uring_prep_send_zc_fixed(
        entry, stream, memory + (size_t)next * size, size, MSG_NOSIGNAL | MSG_WAITALL, 0, 0);
      next = (next + 1) % BUFFERS;
      sent += size;
      in_flight++;
      check(io_uring_submit(&ring) >= 0, "submit");
    } else {
      check(io_uring_submit_and_wait(&ring, 1) >= 0, "submit_and_wait");
    }
    struct io_uring_cqe *completion;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, completion) {
      count++;
      check(completion->res >= 0 || completion->flags & IORING_CQE_F_NOTIF, "send");
      if (!(completion->flags & IORING_CQE_F_MORE)) in_flight--;
    }
    io_uring_cq_advance(&ring, count);
  }
  printf("%llu\n", (unsigned long long)(now() - start));
  close(stream);
}

static void be_peer(int receives, uint16_t port, size_t byte_count, size_t size) {
  int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(port);
  check(connect(stream, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  size_t block = receives ? size : 1 << 20;
  char *memory = memory_of(block);
  for (size_t done = 0; !receives || done < byte_count;) {
    ssize_t count =
      receives ? send(stream, memory, block, MSG_NOSIGNAL) : recv(stream, memory, block, 0);
    if (count == 0 && !receives) break;
    check(count > 0, "peer");
    done += (size_t)count;
  }
}

int main(int count, char **arguments) {
  if (count == 4 && strcmp(arguments[1], "recv") == 0) {
    receive(strtoul(arguments[3], NULL, 10));
  } else if (count == 4 && strcmp(arguments[1], "send") == 0) {
    send_all(strtoul(arguments[2], NULL, 10), strtoul(arguments[3], NULL, 10));
  } else if (count == 6 && strcmp(arguments[1], "peer") == 0) {
    be_peer(
      strcmp(arguments[2], "recv") == 0, (uint16_t)atoi(arguments[3]),
      strtoul(arguments[4], NULL, 10), strtoul(arguments[5], NULL, 10));
  } else {
    return 64;
  }
}
