// SPDX-License-Identifier: Apache-2.0
//
// DRM cards through libdrm: driver name, dumb buffers, PRIME.
// Why C: libdrm's headers, and its mixed conventions (-errno here, -1 and errno there).
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Copies the driver's name ("vgem"), NUL-terminated and cut to fit. -ENOTTY etc. if no DRM device.
int csystem_drm_driver_name(int card, char *name, size_t byte_count);

/// DRM_IOCTL_MODE_CREATE_DUMB: `width` x `height` pixels of 8 bits. The kernel rounds the pitch and
/// the byte count up. The handle belongs to the card's fd until csystem_drm_close_handle.
int csystem_drm_create_dumb(
  int card, uint32_t width, uint32_t height, uint32_t *handle, uint64_t *byte_count);

/// DRM_IOCTL_MODE_MAP_DUMB: the offset at which the card's fd maps the buffer.
int csystem_drm_dumb_map_offset(int card, uint32_t handle, uint64_t *offset);

/// DRM_IOCTL_GEM_CLOSE.
int csystem_drm_close_handle(int card, uint32_t handle);

/// PRIME: a dma-buf fd (O_RDWR, close-on-exec) for a handle. The caller owns it.
int csystem_drm_export_handle(int card, uint32_t handle);

/// PRIME: a handle for a dma-buf. The same dma-buf gives the same handle on the same card fd, and
/// one close ends it: whoever imports twice has to count. The dma-buf fd stays the caller's.
int csystem_drm_import_handle(int card, int dmabuf, uint32_t *handle);

#ifdef __cplusplus
}
#endif
