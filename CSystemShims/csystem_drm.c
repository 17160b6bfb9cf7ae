// SPDX-License-Identifier: Apache-2.0
#include "csystem_drm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <xf86drm.h>
#include <xf86drmMode.h>

int csystem_drm_driver_name(int card, char *name, size_t byte_count) {
  if (byte_count == 0) {
    return -EINVAL;
  }
  errno = 0;
  drmVersionPtr version = drmGetVersion(card);
  if (version == NULL) {
    return errno != 0 ? -errno : -ENOMEM;
  }
  size_t length = (size_t)version->name_len;
  if (length > byte_count - 1) {
    length = byte_count - 1;
  }
  memcpy(name, version->name, length);
  name[length] = 0;
  drmFreeVersion(version);
  return (int)length;
}

// drmIoctl, not drmModeCreateDumbBuffer: the latter came with libdrm 2.4.111.
int csystem_drm_create_dumb(
  int card, uint32_t width, uint32_t height, uint32_t *handle, uint64_t *byte_count) {
  struct drm_mode_create_dumb argument = {.width = width, .height = height, .bpp = 8};
  if (drmIoctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &argument) != 0) {
    return -errno;
  }
  *handle = argument.handle;
  *byte_count = argument.size;
  return 0;
}

int csystem_drm_dumb_map_offset(int card, uint32_t handle, uint64_t *offset) {
  struct drm_mode_map_dumb argument = {.handle = handle};
  if (drmIoctl(card, DRM_IOCTL_MODE_MAP_DUMB, &argument) != 0) {
    return -errno;
  }
  *offset = argument.offset;
  return 0;
}

int csystem_drm_close_handle(int card, uint32_t handle) {
  struct drm_gem_close argument = {.handle = handle};
  return drmIoctl(card, DRM_IOCTL_GEM_CLOSE, &argument) != 0 ? -errno : 0;
}

int csystem_drm_export_handle(int card, uint32_t handle) {
  int fd = -1;
  if (drmPrimeHandleToFD(card, handle, DRM_CLOEXEC | DRM_RDWR, &fd) != 0) {
    return -errno;
  }
  return fd;
}

int csystem_drm_import_handle(int card, int dmabuf, uint32_t *handle) {
  return drmPrimeFDToHandle(card, dmabuf, handle) != 0 ? -errno : 0;
}
