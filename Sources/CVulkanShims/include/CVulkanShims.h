// SPDX-License-Identifier: Apache-2.0
//
// Vulkan as far as dma-bufs and compute shaders need it: devices, memory from dma-bufs and as
// dma-bufs, shaders over fragments of it, and the end of a job as a sync file.
// Why C: Vulkan's structures are chained by untyped pointers, and its functions are found at run
// time. libvulkan.so.1 is opened, not linked: a program that never asks for a device runs without.
//
// Functions return >= 0 or -errno. VkResult becomes: ENOMEM (host memory), ENOSPC (device memory),
// EIO (device lost), EOPNOTSUPP (extension or feature missing), ENODEV (no driver), EINVAL (not a
// dma-buf that the device takes), EPROTO (whatever else). Any thread; one at a time for one object,
// but for a device, which several may use.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cvulkan_library;
struct cvulkan_device;
struct cvulkan_memory;
struct cvulkan_shader;
struct cvulkan_job;

/// Opens the library and makes an instance of Vulkan 1.1. With `validates`, the validation layer
/// looks at every call. -ELIBACC without libvulkan.so.1, -ENOPKG without the layer.
int cvulkan_library_open(int validates, struct cvulkan_library **library);
void cvulkan_library_close(struct cvulkan_library *library);

/// Errors and warnings of the validation layer since the library was opened; copies the last one's
/// text, NUL-terminated and cut to fit.
int cvulkan_library_complaints(struct cvulkan_library *library, char *text, size_t byte_count);

/// What a device lacks of what this needs.
enum {
  /// VK_KHR_external_memory_fd or VK_EXT_external_memory_dma_buf.
  cvulkan_lacks_dmabuf = 1,
  /// VK_KHR_external_semaphore_fd.
  cvulkan_lacks_semaphore = 2,
  /// Storage buffers of dma-bufs of others; of dma-bufs of its own.
  cvulkan_lacks_import = 4,
  cvulkan_lacks_export = 8,
  /// A queue for compute shaders.
  cvulkan_lacks_compute = 16,
  /// Sync files that its queue waits for.
  cvulkan_lacks_wait = 32,
};

struct cvulkan_description {
  char name[256];
  uint8_t uuid[16];
  /// cvulkan_lacks_…
  uint32_t lacks;
  /// Whether it is a processor that only acts as a device.
  uint32_t is_software;
  /// Bytes of a buffer (maxMemoryAllocationSize).
  uint64_t byte_limit;
  /// Bytes of a buffer that a shader reaches at a time (maxStorageBufferRange).
  uint64_t range_limit;
  /// Fragments of one job.
  uint64_t fragment_limit;
};

/// Describes device number `index`. -ENODEV past the last.
int cvulkan_library_describe(
  struct cvulkan_library *library, uint32_t index, struct cvulkan_description *description);

/// Opens device number `index`, which must lack nothing but import, export or waits. The library
/// must outlast it.
int cvulkan_device_open(
  struct cvulkan_library *library, uint32_t index, struct cvulkan_device **device);
void cvulkan_device_close(struct cvulkan_device *device);

/// A storage buffer over a dma-buf of `byte_count` bytes, whose descriptor stays the caller's.
/// -EINVAL for a dma-buf that the device does not take, -ENXIO where none of its memory types is
/// for such a buffer, -EMSGSIZE where it needs more bytes than there are, -EMFILE.
int cvulkan_memory_import(
  struct cvulkan_device *device, int dmabuf, uint64_t byte_count, struct cvulkan_memory **memory);

/// A storage buffer in memory that the device allocates, and that can be exported.
int cvulkan_memory_allocate(
  struct cvulkan_device *device, uint64_t byte_count, struct cvulkan_memory **memory);

/// A dma-buf of memory that the device allocated. The caller owns the descriptor.
int cvulkan_memory_export(struct cvulkan_memory *memory);
void cvulkan_memory_close(struct cvulkan_memory *memory);

/// A compute shader (`main`) from SPIR-V. Its bindings are storage buffers of 32-bit words: 0 the
/// memory that is read, 1 the list, 2 the results, 3 the memory that is written. Its push constants
/// are a part's first fragment and the one after its last.
int cvulkan_shader_make(
  struct cvulkan_device *device, const uint32_t *words, size_t word_count,
  struct cvulkan_shader **shader);
void cvulkan_shader_close(struct cvulkan_shader *shader);

/// A part of a job: the fragments `first ..< end` of its list, each in a workgroup of its own, with
/// the memory bound from these bytes on (multiples of 4096), as far as a shader reaches.
struct cvulkan_part {
  uint64_t read_offset;
  uint64_t written_offset;
  uint32_t first;
  uint32_t end;
};

/// What a job consists of. The memory may be one and the same.
struct cvulkan_work {
  struct cvulkan_memory *read;
  struct cvulkan_memory *written;
  const uint32_t *list;
  size_t list_word_count;
  size_t result_word_count;
  const struct cvulkan_part *parts;
  size_t part_count;
  /// Sync files that the queue waits for before it begins, which stay the caller's.
  const int *waits;
  size_t wait_count;
};

/// Runs a shader, in rows of 32768 workgroups (gl_WorkGroupID.y counts the rows), and returns when
/// the device has the job. `*sync_file` is a descriptor that the caller owns, or -1 if the job has
/// ended already.
int cvulkan_job_begin(
  struct cvulkan_shader *shader, const struct cvulkan_work *work, struct cvulkan_job **job,
  int *sync_file);

/// Waits for a job. -ETIMEDOUT, -EIO if the device is lost.
int cvulkan_job_wait(struct cvulkan_job *job, uint64_t nanoseconds);
/// What the shader wrote (0 where it wrote nothing), once the job has ended; as many words as were
/// asked for.
const uint32_t *cvulkan_job_results(const struct cvulkan_job *job);
/// The job must have ended. The memory and the shader may go before.
void cvulkan_job_close(struct cvulkan_job *job);

/// The shaders of Shaders/, as SPIR-V; see there for what they do.
struct cvulkan_code {
  const char *name;
  const uint32_t *words;
  size_t word_count;
};
extern const size_t cvulkan_code_count;
const struct cvulkan_code *cvulkan_code_list(void);

#ifdef __cplusplus
}
#endif
