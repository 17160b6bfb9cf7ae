// SPDX-License-Identifier: Apache-2.0
//
// The only C of the package that talks to the kernel: one header per kernel topic.
//
// Contract of every function here, unless its own comment says otherwise:
//   - returns >= 0 on success, -errno on failure; the variable errno never crosses into Swift;
//   - every file descriptor that it makes is close-on-exec and belongs to the caller;
//   - it keeps no state, takes no lock and may be called from any thread;
//   - it does not retry on EINTR: the Swift side does.
//
// Why C at all: ioctl(2), fcntl(2), open(2) and syscall(2) are variadic, control messages are
// walked by macros, and several kernel structs need headers that Swift's Glibc module leaves out.
#pragma once

#include "csystem_devmem.h"
#include "csystem_directory.h"
#include "csystem_dmabuf.h"
#include "csystem_dmaheap.h"
#include "csystem_drm.h"
#include "csystem_epoll.h"
#include "csystem_errno.h"
#include "csystem_ethtool.h"
#include "csystem_file.h"
#include "csystem_interface.h"
#include "csystem_mapping.h"
#include "csystem_memfd.h"
#include "csystem_netlink.h"
#include "csystem_numa.h"
#include "csystem_process.h"
#include "csystem_seam.h"
#include "csystem_socket.h"
#include "csystem_syncfile.h"
#include "csystem_thread.h"
#include "csystem_udmabuf.h"
#include "csystem_unixsocket.h"
#include "csystem_xdp.h"
