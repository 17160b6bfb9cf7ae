// SPDX-License-Identifier: Apache-2.0
#include "CTestSupport.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

// vgem's, and what of DRM's they need: libdrm has no functions for them.
struct vgem_attach {
  uint32_t handle, flags, out_fence, pad;
};
struct vgem_signal {
  uint32_t fence, flags;
};
struct prime_handle {
  uint32_t handle, flags;
  int32_t fd;
};
struct gem_close {
  uint32_t handle, pad;
};
#define VGEM_FENCE_ATTACH _IOWR('d', 0x41, struct vgem_attach)
#define VGEM_FENCE_SIGNAL _IOW('d', 0x42, struct vgem_signal)
#define PRIME_FD_TO_HANDLE _IOWR('d', 0x2e, struct prime_handle)
#define GEM_CLOSE _IOW('d', 0x09, struct gem_close)

int ctest_vgem_attach(int card, int dmabuf, int writes) {
  struct prime_handle import = {.fd = dmabuf};
  if (ioctl(card, PRIME_FD_TO_HANDLE, &import) != 0) return -errno;
  struct vgem_attach attach = {.handle = import.handle, .flags = writes ? 1 : 0};
  int result = ioctl(card, VGEM_FENCE_ATTACH, &attach) == 0 ? (int)attach.out_fence : -errno;
  struct gem_close close = {.handle = import.handle};
  ioctl(card, GEM_CLOSE, &close);
  return result;
}

int ctest_vgem_signal(int card, int fence) {
  struct vgem_signal signal = {.fence = (uint32_t)fence};
  return ioctl(card, VGEM_FENCE_SIGNAL, &signal) == 0 ? 0 : -errno;
}

struct fence_call {
  uint32_t id;
  int32_t value;
};
#define FENCE_MAKE _IOR('D', 0x60, struct fence_call)
#define FENCE_END _IOW('D', 0x61, struct fence_call)

int ctest_fence_make(int device, unsigned *id) {
  struct fence_call call = {0};
  if (ioctl(device, FENCE_MAKE, &call) != 0) return -errno;
  *id = call.id;
  return call.value;
}

int ctest_fence_end(int device, unsigned id, int error) {
  struct fence_call call = {.id = id, .value = error};
  return ioctl(device, FENCE_END, &call) == 0 ? 0 : -errno;
}
