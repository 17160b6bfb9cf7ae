// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CTestSupport.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

int ctest_netns_enter(int fd) { return setns(fd, CLONE_NEWNET) == 0 ? 0 : -errno; }

int ctest_fork(void) { return fork(); }

int ctest_epoll_make(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll >= 0 ? epoll : -errno;
}

int ctest_epoll_add(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int ctest_epoll_wait(int epoll, int milliseconds) {
  struct epoll_event event;
  int count = epoll_wait(epoll, &event, 1, milliseconds);
  if (count < 0) return -errno;
  return count == 0 ? -ETIMEDOUT : event.data.fd;
}
