// SPDX-License-Identifier: Apache-2.0
// What the files of this target share.
#pragma once

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <pthread.h>

#include "include/CVulkanShims.h"

// Functions of an instance, and of a device.
#define INSTANCE_FUNCTIONS(X)                                                                     \
  X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties2)                  \
  X(GetPhysicalDeviceQueueFamilyProperties) X(GetPhysicalDeviceMemoryProperties)                  \
  X(GetPhysicalDeviceExternalBufferProperties) X(GetPhysicalDeviceExternalSemaphoreProperties)    \
  X(EnumerateDeviceExtensionProperties)                                                           \
  X(CreateDevice) X(GetDeviceProcAddr)
#define DEVICE_FUNCTIONS(X)                                                                       \
  X(DestroyDevice) X(GetDeviceQueue) X(DeviceWaitIdle) X(CreateBuffer) X(DestroyBuffer)           \
  X(GetBufferMemoryRequirements2) X(AllocateMemory) X(FreeMemory) X(BindBufferMemory)             \
  X(MapMemory) X(GetMemoryFdKHR) X(GetMemoryFdPropertiesKHR) X(CreateShaderModule)                \
  X(DestroyShaderModule) X(CreateDescriptorSetLayout) X(DestroyDescriptorSetLayout)               \
  X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline)   \
  X(CreateDescriptorPool) X(DestroyDescriptorPool) X(AllocateDescriptorSets)                      \
  X(UpdateDescriptorSets) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers)    \
  X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdPipelineBarrier) X(CmdBindPipeline)              \
  X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdDispatch) X(CreateSemaphore)                  \
  X(DestroySemaphore) X(GetSemaphoreFdKHR) X(ImportSemaphoreFdKHR) X(CreateFence)                 \
  X(DestroyFence) X(WaitForFences) X(QueueSubmit)
#define POINTER(name) PFN_vk##name name;

struct cvulkan_library {
  void *handle;
  VkInstance instance;
  PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
  VkDebugUtilsMessengerEXT messenger;
  INSTANCE_FUNCTIONS(POINTER)
  pthread_mutex_t lock;
  // Behind the lock.
  int complaint_count;
  char complaint[1024];
};

struct cvulkan_device {
  struct cvulkan_library *library;
  VkPhysicalDevice physical;
  VkDevice device;
  VkQueue queue;
  uint32_t family;
  VkPhysicalDeviceMemoryProperties memory;
  // Bytes of a buffer that a shader reaches at a time.
  uint64_t range_limit;
  DEVICE_FUNCTIONS(POINTER)
  // Of the queue.
  pthread_mutex_t lock;
};

struct cvulkan_memory {
  struct cvulkan_device *device;
  VkBuffer buffer;
  VkDeviceMemory memory;
  uint64_t byte_count;
};

struct cvulkan_shader {
  struct cvulkan_device *device;
  VkDescriptorSetLayout sets;
  VkPipelineLayout layout;
  VkPipeline pipeline;
};

// 0, or the errno of a VkResult, negative.
int cvulkan_error(VkResult result);

// A storage buffer with memory of its own that the processor sees; `mapped` is where.
int cvulkan_memory_host(
  struct cvulkan_device *device, uint64_t byte_count, struct cvulkan_memory **memory,
  void **mapped);
