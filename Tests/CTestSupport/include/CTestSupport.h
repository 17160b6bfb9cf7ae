// SPDX-License-Identifier: Apache-2.0
//
// What tests need of the system and the library does not.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

// Moves the calling thread to the network namespace that a descriptor of /run/netns or
// /proc/PID/ns/net stands for (setns(2), CLONE_NEWNET). Sockets stay in the namespace they were
// made in. 0 or -errno; EPERM without CAP_SYS_ADMIN.
int ctest_netns_enter(int fd);

// fork(2), which Swift does not let anybody call: for a process of one thread.
int ctest_fork(void);

// epoll(7), which Swift's Glibc does not have. A descriptor, or -errno.
int ctest_epoll_make(void);
// Tells of incoming data and of the peer's end, each time there is more (EPOLLET). 0 or -errno.
int ctest_epoll_add(int epoll, int fd);
// The next descriptor that has something, or -errno; ETIMEDOUT when nothing came.
int ctest_epoll_wait(int epoll, int milliseconds);

// From now on these system calls of the whole process fail with `error` (seccomp(2)). 0 or -errno.
int ctest_refuse_calls(const int *numbers, int count, int error);

// From now on no thread can be made in this process. 0 or -errno.
int ctest_refuse_threads(int error);

// From now on socket(2) of this family fails with `error` in the whole process: EAFNOSUPPORT is
// what a kernel says that has the family switched off (ipv6.disable=1). 0 or -errno.
int ctest_refuse_family(int family, int error);

// The numbers of the calls that container runtimes refuse by default: get_mempolicy, set_mempolicy,
// mbind, move_pages. Writes up to 4, returns how many.
int ctest_numa_calls(int *numbers);

// Fences that vgem puts on a dma-buf (DRM_IOCTL_VGEM_FENCE_ATTACH), as who writes or as who reads:
// they end with ctest_vgem_signal, with the card's descriptor, or after 10 s. The number of the
// fence, or -errno; EBUSY if another one is in its way.
int ctest_vgem_attach(int card, int dmabuf, int writes);
int ctest_vgem_signal(int card, int fence);

// Fences of a device that does nothing (Tests/KernelModules/devmemsim/fence.c; /dev/devmemsim-fence
// is `device`). The sync file's descriptor, or -errno; `id` is for ctest_fence_end.
int ctest_fence_make(int device, unsigned *id);
// Ends one, with 0 or a negative errno. 0 or -errno.
int ctest_fence_end(int device, unsigned id, int error);

#endif
