// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CVulkanShims.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const layer = "VK_LAYER_KHRONOS_validation";
static const char *const needed[] = {
  VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME, VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME,
  VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME};

int cvulkan_error(VkResult result) {
  if (result >= 0) {
    return 0;
  }
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_MEMORY_MAP_FAILED: return -ENOMEM;
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY: return -ENOSPC;
    case VK_ERROR_DEVICE_LOST: return -EIO;
    case VK_ERROR_LAYER_NOT_PRESENT: return -ENOPKG;
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT: return -EOPNOTSUPP;
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_INCOMPATIBLE_DRIVER: return -ENODEV;
    case VK_ERROR_TOO_MANY_OBJECTS: return -EMFILE;
    case VK_ERROR_INVALID_EXTERNAL_HANDLE: return -EINVAL;
    default: return -EPROTO;
  }
}

static VkBool32 complain(
  VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
  const VkDebugUtilsMessengerCallbackDataEXT *data, void *context) {
  (void)severity;
  (void)types;
  struct cvulkan_library *library = context;
  pthread_mutex_lock(&library->lock);
  library->complaint_count++;
  strncpy(library->complaint, data->pMessage, sizeof library->complaint - 1);
  pthread_mutex_unlock(&library->lock);
  return VK_FALSE;
}

static int make_instance(struct cvulkan_library *library, int validates) {
  PFN_vkCreateInstance create =
    (PFN_vkCreateInstance)library->GetInstanceProcAddr(NULL, "vkCreateInstance");
  if (create == NULL) {
    return -ELIBACC;
  }
  VkApplicationInfo application = {
    .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1};
  VkDebugUtilsMessengerCreateInfoEXT messenger = {
    .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT |
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
    // Not the loader's own words about drivers that it did not load (GENERAL).
    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
    .pfnUserCallback = complain,
    .pUserData = library};
  const char *extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  VkInstanceCreateInfo info = {
    .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
    .pNext = validates ? &messenger : NULL,
    .pApplicationInfo = &application,
    .enabledLayerCount = validates ? 1 : 0,
    .ppEnabledLayerNames = &layer,
    .enabledExtensionCount = validates ? 1 : 0,
    .ppEnabledExtensionNames = &extension};
  int error = cvulkan_error(create(&info, NULL, &library->instance));
  if (error < 0) {
    return error;
  }
#define LOAD(name)                                                                                \
  library->name = (PFN_vk##name)library->GetInstanceProcAddr(library->instance, "vk" #name);
  INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
  if (!validates) {
    return 0;
  }
  PFN_vkCreateDebugUtilsMessengerEXT listen =
    (PFN_vkCreateDebugUtilsMessengerEXT)library->GetInstanceProcAddr(
      library->instance, "vkCreateDebugUtilsMessengerEXT");
  return listen == NULL
    ? -EOPNOTSUPP
    : cvulkan_error(listen(library->instance, &messenger, NULL, &library->messenger));
}

int cvulkan_library_open(int validates, struct cvulkan_library **result) {
  struct cvulkan_library *library = calloc(1, sizeof *library);
  if (library == NULL) {
    return -ENOMEM;
  }
  pthread_mutex_init(&library->lock, NULL);
  library->handle = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library->handle != NULL) {
    library->GetInstanceProcAddr =
      (PFN_vkGetInstanceProcAddr)dlsym(library->handle, "vkGetInstanceProcAddr");
  }
  int error = library->GetInstanceProcAddr == NULL ? -ELIBACC : make_instance(library, validates);
  if (error < 0) {
    cvulkan_library_close(library);
    return error;
  }
  *result = library;
  return 0;
}

void cvulkan_library_close(struct cvulkan_library *library) {
  if (library->messenger != VK_NULL_HANDLE) {
    PFN_vkDestroyDebugUtilsMessengerEXT destroy =
      (PFN_vkDestroyDebugUtilsMessengerEXT)library->GetInstanceProcAddr(
        library->instance, "vkDestroyDebugUtilsMessengerEXT");
    destroy(library->instance, library->messenger, NULL);
  }
  if (library->instance != NULL && library->DestroyInstance != NULL) {
    library->DestroyInstance(library->instance, NULL);
  }
  if (library->handle != NULL) {
    dlclose(library->handle);
  }
  pthread_mutex_destroy(&library->lock);
  free(library);
}

int cvulkan_library_complaints(struct cvulkan_library *library, char *text, size_t byte_count) {
  pthread_mutex_lock(&library->lock);
  int count = library->complaint_count;
  if (byte_count > 0) {
    strncpy(text, library->complaint, byte_count - 1);
    text[byte_count - 1] = 0;
  }
  pthread_mutex_unlock(&library->lock);
  return count;
}

// The device, or -ENODEV past the last.
static int physical_device(
  struct cvulkan_library *library, uint32_t index, VkPhysicalDevice *device) {
  uint32_t count = index + 1;
  VkPhysicalDevice *devices = calloc(count, sizeof *devices);
  if (devices == NULL) {
    return -ENOMEM;
  }
  int error =
    cvulkan_error(library->EnumeratePhysicalDevices(library->instance, &count, devices));
  if (error == 0 && count <= index) {
    error = -ENODEV;
  }
  *device = devices[index];
  free(devices);
  return error;
}

// Which of `needed` there are, as bits.
static int extensions(struct cvulkan_library *library, VkPhysicalDevice device, uint32_t *found) {
  uint32_t count = 0;
  *found = 0;
  int error = cvulkan_error(
    library->EnumerateDeviceExtensionProperties(device, NULL, &count, NULL));
  if (error < 0) {
    return error;
  }
  VkExtensionProperties *all = calloc(count + 1, sizeof *all);
  if (all == NULL) {
    return -ENOMEM;
  }
  error = cvulkan_error(library->EnumerateDeviceExtensionProperties(device, NULL, &count, all));
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t n = 0; n < sizeof needed / sizeof *needed; n++) {
      if (strcmp(all[i].extensionName, needed[n]) == 0) {
        *found |= 1u << n;
      }
    }
  }
  free(all);
  return error;
}

// Shaders see words: some devices have a limit that is not of whole ones.
static uint64_t whole_words(uint32_t byte_count) { return byte_count & ~UINT32_C(3); }

// The first queue family with compute shaders, or -1.
static int compute_family(struct cvulkan_library *library, VkPhysicalDevice device) {
  VkQueueFamilyProperties families[16];
  uint32_t count = 16;
  library->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
  for (uint32_t i = 0; i < count; i++) {
    if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT && families[i].queueCount > 0) {
      return (int)i;
    }
  }
  return -1;
}

int cvulkan_library_describe(
  struct cvulkan_library *library, uint32_t index, struct cvulkan_description *description) {
  VkPhysicalDevice device;
  int error = physical_device(library, index, &device);
  if (error < 0) {
    return error;
  }
  VkPhysicalDeviceMaintenance3Properties allocation = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
  VkPhysicalDeviceIDProperties identity = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &allocation};
  VkPhysicalDeviceProperties2 properties = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &identity};
  library->GetPhysicalDeviceProperties2(device, &properties);
  uint32_t found = 0;
  error = extensions(library, device, &found);
  if (error < 0) {
    return error;
  }
  VkPhysicalDeviceExternalBufferInfo buffer = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
    .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    .handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT};
  VkExternalBufferProperties external = {
    .sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
  library->GetPhysicalDeviceExternalBufferProperties(device, &buffer, &external);
  VkPhysicalDeviceExternalSemaphoreInfo semaphore = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO,
    .handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT};
  VkExternalSemaphoreProperties sync_file = {
    .sType = VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES};
  library->GetPhysicalDeviceExternalSemaphoreProperties(device, &semaphore, &sync_file);
  VkExternalMemoryFeatureFlags features = external.externalMemoryProperties.externalMemoryFeatures;
  uint32_t lacks = 0;
  if ((found & 3) != 3) lacks |= cvulkan_lacks_dmabuf;
  if ((found & 4) == 0) lacks |= cvulkan_lacks_semaphore;
  if (!(features & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT)) lacks |= cvulkan_lacks_import;
  if (!(features & VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT)) lacks |= cvulkan_lacks_export;
  if (compute_family(library, device) < 0) lacks |= cvulkan_lacks_compute;
  if (!(sync_file.externalSemaphoreFeatures & VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT)) {
    lacks |= cvulkan_lacks_wait;
  }
  *description = (struct cvulkan_description){
    .lacks = lacks,
    .is_software = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU,
    .byte_limit = allocation.maxMemoryAllocationSize,
    .range_limit = whole_words(properties.properties.limits.maxStorageBufferRange),
    .fragment_limit = (uint64_t)32768 * properties.properties.limits.maxComputeWorkGroupCount[1]};
  memcpy(description->uuid, identity.deviceUUID, sizeof description->uuid);
  _Static_assert(
    sizeof description->name == VK_MAX_PHYSICAL_DEVICE_NAME_SIZE, "a name is cut off");
  memcpy(description->name, properties.properties.deviceName, sizeof description->name);
  return 0;
}

int cvulkan_device_open(
  struct cvulkan_library *library, uint32_t index, struct cvulkan_device **result) {
  struct cvulkan_device *device = calloc(1, sizeof *device);
  if (device == NULL) {
    return -ENOMEM;
  }
  device->library = library;
  pthread_mutex_init(&device->lock, NULL);
  int error = physical_device(library, index, &device->physical);
  int family = error < 0 ? -1 : compute_family(library, device->physical);
  if (error == 0 && family < 0) {
    error = -EOPNOTSUPP;
  }
  if (error == 0) {
    device->family = (uint32_t)family;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
      .queueFamilyIndex = device->family,
      .queueCount = 1,
      .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {
      .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
      .queueCreateInfoCount = 1,
      .pQueueCreateInfos = &queue,
      .enabledExtensionCount = sizeof needed / sizeof *needed,
      .ppEnabledExtensionNames = needed};
    error =
      cvulkan_error(library->CreateDevice(device->physical, &info, NULL, &device->device));
  }
  if (error == 0) {
#define LOAD(name)                                                                                \
  device->name = (PFN_vk##name)library->GetDeviceProcAddr(device->device, "vk" #name);            \
  if (device->name == NULL) error = -EOPNOTSUPP;
    DEVICE_FUNCTIONS(LOAD)
#undef LOAD
  }
  if (error < 0) {
    cvulkan_device_close(device);
    return error;
  }
  library->GetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
  VkPhysicalDeviceProperties2 properties = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  library->GetPhysicalDeviceProperties2(device->physical, &properties);
  device->range_limit = whole_words(properties.properties.limits.maxStorageBufferRange);
  device->GetDeviceQueue(device->device, device->family, 0, &device->queue);
  *result = device;
  return 0;
}

void cvulkan_device_close(struct cvulkan_device *device) {
  if (device->device != NULL && device->DestroyDevice != NULL) {
    device->DestroyDevice(device->device, NULL);
  }
  pthread_mutex_destroy(&device->lock);
  free(device);
}
