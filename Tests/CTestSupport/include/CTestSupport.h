// SPDX-License-Identifier: Apache-2.0
//
// What tests need of the system and the library does not.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

// Moves the calling thread to the network namespace that a descriptor of /run/netns or
// /proc/PID/ns/net stands for (setns(2), CLONE_NEWNET). Sockets stay in the namespace they were made
// in. 0 or -errno; EPERM without CAP_SYS_ADMIN.
int ctest_netns_enter(int fd);

#endif
