// SPDX-License-Identifier: Apache-2.0
#include "CVulkanShims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const VkExternalMemoryHandleTypeFlagBits dmabuf_type =
  VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT;

// The first of the memory types in `bits` that has all of `flags`, or -1.
static int memory_type(
  const struct cvulkan_device *device, uint32_t bits, VkMemoryPropertyFlags flags) {
  for (uint32_t i = 0; i < device->memory.memoryTypeCount; i++) {
    if (bits >> i & 1 && (device->memory.memoryTypes[i].propertyFlags & flags) == flags) {
      return (int)i;
    }
  }
  return -1;
}

// Makes the buffer, without memory. `external`: of or as a dma-buf.
static int make_buffer(struct cvulkan_memory *memory, int external) {
  VkExternalMemoryBufferCreateInfo dmabuf = {
    .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .handleTypes = dmabuf_type};
  VkBufferCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
    .pNext = external ? &dmabuf : NULL,
    .size = memory->byte_count,
    .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
  struct cvulkan_device *device = memory->device;
  return cvulkan_error(device->CreateBuffer(device->device, &info, NULL, &memory->buffer));
}

// Gives the buffer memory, as `next` says (an import or an export), and binds it.
// - type_bits: memory types that the memory can be of.
// - limit: the bytes that there are; 0 for as many as the buffer needs.
static int give_memory(
  struct cvulkan_memory *memory, uint32_t type_bits, VkMemoryPropertyFlags flags, uint64_t limit,
  const void *next) {
  struct cvulkan_device *device = memory->device;
  VkMemoryDedicatedRequirements dedicated = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_REQUIREMENTS};
  VkMemoryRequirements2 needs = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_REQUIREMENTS_2, .pNext = &dedicated};
  VkBufferMemoryRequirementsInfo2 question = {
    .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_REQUIREMENTS_INFO_2, .buffer = memory->buffer};
  device->GetBufferMemoryRequirements2(device->device, &question, &needs);
  uint64_t byte_count = needs.memoryRequirements.size;
  if (limit > 0 && byte_count > limit) {
    return -EMSGSIZE;
  }
  type_bits &= needs.memoryRequirements.memoryTypeBits;
  int type = memory_type(device, type_bits, flags);
  if (type < 0) {
    return -ENXIO;
  }
  VkMemoryDedicatedAllocateInfo alone = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO,
    .pNext = next,
    .buffer = memory->buffer};
  VkMemoryAllocateInfo info = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
    .pNext = dedicated.requiresDedicatedAllocation ? &alone : next,
    .allocationSize = limit > 0 ? limit : byte_count,
    .memoryTypeIndex = (uint32_t)type};
  int error =
    cvulkan_error(device->AllocateMemory(device->device, &info, NULL, &memory->memory));
  return error < 0
    ? error
    : cvulkan_error(
        device->BindBufferMemory(device->device, memory->buffer, memory->memory, 0));
}

static struct cvulkan_memory *make_memory(struct cvulkan_device *device, uint64_t byte_count) {
  struct cvulkan_memory *memory = calloc(1, sizeof *memory);
  if (memory != NULL) {
    memory->device = device;
    memory->byte_count = byte_count;
  }
  return memory;
}

// Gives the memory out if all went well, and frees it if not.
static int finish(int error, struct cvulkan_memory *memory, struct cvulkan_memory **result) {
  if (error < 0) {
    cvulkan_memory_close(memory);
  } else {
    *result = memory;
  }
  return error;
}

int cvulkan_memory_import(
  struct cvulkan_device *device, int dmabuf, uint64_t byte_count, struct cvulkan_memory **result) {
  VkMemoryFdPropertiesKHR properties = {.sType = VK_STRUCTURE_TYPE_MEMORY_FD_PROPERTIES_KHR};
  int error = cvulkan_error(
    device->GetMemoryFdPropertiesKHR(device->device, dmabuf_type, dmabuf, &properties));
  if (error < 0) {
    return error;
  }
  struct cvulkan_memory *memory = make_memory(device, byte_count);
  if (memory == NULL) {
    return -ENOMEM;
  }
  // An allocation that succeeds takes the descriptor, one that fails does not.
  int own = fcntl(dmabuf, F_DUPFD_CLOEXEC, 0);
  error = own < 0 ? -errno : make_buffer(memory, 1);
  if (error == 0) {
    VkImportMemoryFdInfoKHR import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR,
      .handleType = dmabuf_type,
      .fd = own};
    error = give_memory(memory, properties.memoryTypeBits, 0, byte_count, &import);
  }
  if (own >= 0 && memory->memory == VK_NULL_HANDLE) {
    close(own);
  }
  return finish(error, memory, result);
}

int cvulkan_memory_allocate(
  struct cvulkan_device *device, uint64_t byte_count, struct cvulkan_memory **result) {
  struct cvulkan_memory *memory = make_memory(device, byte_count);
  if (memory == NULL) {
    return -ENOMEM;
  }
  int error = make_buffer(memory, 1);
  if (error == 0) {
    VkExportMemoryAllocateInfo export = {
      .sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO, .handleTypes = dmabuf_type};
    error = give_memory(memory, UINT32_MAX, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0, &export);
  }
  return finish(error, memory, result);
}

int cvulkan_memory_host(
  struct cvulkan_device *device, uint64_t byte_count, struct cvulkan_memory **result,
  void **mapped) {
  struct cvulkan_memory *memory = make_memory(device, byte_count);
  if (memory == NULL) {
    return -ENOMEM;
  }
  int error = make_buffer(memory, 0);
  if (error == 0) {
    error = give_memory(
      memory, UINT32_MAX,
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 0, NULL);
  }
  if (error == 0) {
    error = cvulkan_error(
      device->MapMemory(device->device, memory->memory, 0, VK_WHOLE_SIZE, 0, mapped));
  }
  return finish(error, memory, result);
}

int cvulkan_memory_export(struct cvulkan_memory *memory) {
  VkMemoryGetFdInfoKHR info = {
    .sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR,
    .memory = memory->memory,
    .handleType = dmabuf_type};
  int dmabuf = -1;
  int error = cvulkan_error(
    memory->device->GetMemoryFdKHR(memory->device->device, &info, &dmabuf));
  return error < 0 ? error : dmabuf;
}

void cvulkan_memory_close(struct cvulkan_memory *memory) {
  struct cvulkan_device *device = memory->device;
  device->DestroyBuffer(device->device, memory->buffer, NULL);
  device->FreeMemory(device->device, memory->memory, NULL);
  free(memory);
}
