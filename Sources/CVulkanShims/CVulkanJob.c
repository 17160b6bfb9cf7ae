// SPDX-License-Identifier: Apache-2.0
#include "CVulkanShims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { binding_count = 4, parameter_byte_count = 16, groups_in_a_row = 32768 };

struct cvulkan_job {
  struct cvulkan_device *device;
  struct cvulkan_memory *list;
  struct cvulkan_memory *results;
  void *result_words;
  VkDescriptorPool sets;
  VkCommandPool commands;
  VkSemaphore semaphore;
  VkFence fence;
};

// MARK: Shaders

int cvulkan_shader_make(
  struct cvulkan_device *device, const uint32_t *words, size_t word_count,
  struct cvulkan_shader **result) {
  struct cvulkan_shader *shader = calloc(1, sizeof *shader);
  if (shader == NULL) {
    return -ENOMEM;
  }
  shader->device = device;
  VkDescriptorSetLayoutBinding bindings[binding_count];
  for (uint32_t i = 0; i < binding_count; i++) {
    bindings[i] = (VkDescriptorSetLayoutBinding){
      .binding = i,
      .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
      .descriptorCount = 1,
      .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
  }
  VkDescriptorSetLayoutCreateInfo sets = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
    .bindingCount = binding_count,
    .pBindings = bindings};
  VkPushConstantRange parameters = {
    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = parameter_byte_count};
  VkPipelineLayoutCreateInfo layout = {
    .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
    .setLayoutCount = 1,
    .pSetLayouts = &shader->sets,
    .pushConstantRangeCount = 1,
    .pPushConstantRanges = &parameters};
  VkShaderModuleCreateInfo code = {
    .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
    .codeSize = 4 * word_count,
    .pCode = words};
  VkShaderModule module = VK_NULL_HANDLE;
  VkResult state = device->CreateDescriptorSetLayout(device->device, &sets, NULL, &shader->sets);
  if (state >= 0) {
    state = device->CreatePipelineLayout(device->device, &layout, NULL, &shader->layout);
  }
  if (state >= 0) {
    state = device->CreateShaderModule(device->device, &code, NULL, &module);
  }
  if (state >= 0) {
    VkComputePipelineCreateInfo pipeline = {
      .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
      .stage =
        {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
         .stage = VK_SHADER_STAGE_COMPUTE_BIT,
         .module = module,
         .pName = "main"},
      .layout = shader->layout};
    state = device->CreateComputePipelines(
      device->device, VK_NULL_HANDLE, 1, &pipeline, NULL, &shader->pipeline);
  }
  device->DestroyShaderModule(device->device, module, NULL);
  if (state < 0) {
    cvulkan_shader_close(shader);
    return cvulkan_error(state);
  }
  *result = shader;
  return 0;
}

void cvulkan_shader_close(struct cvulkan_shader *shader) {
  struct cvulkan_device *device = shader->device;
  device->DestroyPipeline(device->device, shader->pipeline, NULL);
  device->DestroyPipelineLayout(device->device, shader->layout, NULL);
  device->DestroyDescriptorSetLayout(device->device, shader->sets, NULL);
  free(shader);
}

// MARK: Jobs

// The set of a job's four buffers.
static VkResult make_set(
  struct cvulkan_job *job, struct cvulkan_shader *shader, struct cvulkan_memory *read,
  struct cvulkan_memory *written, VkDescriptorSet *set) {
  struct cvulkan_device *device = job->device;
  VkDescriptorPoolSize size = {
    .type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = binding_count};
  VkDescriptorPoolCreateInfo pool = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
    .maxSets = 1,
    .poolSizeCount = 1,
    .pPoolSizes = &size};
  VkResult state = device->CreateDescriptorPool(device->device, &pool, NULL, &job->sets);
  if (state < 0) {
    return state;
  }
  VkDescriptorSetAllocateInfo allocation = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
    .descriptorPool = job->sets,
    .descriptorSetCount = 1,
    .pSetLayouts = &shader->sets};
  state = device->AllocateDescriptorSets(device->device, &allocation, set);
  if (state < 0) {
    return state;
  }
  struct cvulkan_memory *memories[binding_count] = {read, job->list, job->results, written};
  VkDescriptorBufferInfo buffers[binding_count];
  VkWriteDescriptorSet writes[binding_count];
  for (uint32_t i = 0; i < binding_count; i++) {
    buffers[i] =
      (VkDescriptorBufferInfo){.buffer = memories[i]->buffer, .range = VK_WHOLE_SIZE};
    writes[i] = (VkWriteDescriptorSet){
      .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
      .dstSet = *set,
      .dstBinding = i,
      .descriptorCount = 1,
      .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
      .pBufferInfo = &buffers[i]};
  }
  device->UpdateDescriptorSets(device->device, binding_count, writes, 0, NULL);
  return VK_SUCCESS;
}

// The memory comes from whoever wrote it before, and goes to whoever reads it afterwards.
static VkBufferMemoryBarrier transfer(
  const struct cvulkan_memory *memory, VkAccessFlags before, VkAccessFlags after, uint32_t from,
  uint32_t to) {
  return (VkBufferMemoryBarrier){
    .sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER,
    .srcAccessMask = before,
    .dstAccessMask = after,
    .srcQueueFamilyIndex = from,
    .dstQueueFamilyIndex = to,
    .buffer = memory->buffer,
    .size = VK_WHOLE_SIZE};
}

static VkResult record(
  struct cvulkan_job *job, struct cvulkan_shader *shader, struct cvulkan_memory *read,
  struct cvulkan_memory *written, VkDescriptorSet set, uint32_t group_count,
  const uint32_t parameters[4], VkCommandBuffer *result) {
  struct cvulkan_device *device = job->device;
  VkCommandPoolCreateInfo pool = {
    .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
    .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
    .queueFamilyIndex = device->family};
  VkResult state = device->CreateCommandPool(device->device, &pool, NULL, &job->commands);
  if (state < 0) {
    return state;
  }
  VkCommandBufferAllocateInfo allocation = {
    .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
    .commandPool = job->commands,
    .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
    .commandBufferCount = 1};
  VkCommandBuffer commands;
  state = device->AllocateCommandBuffers(device->device, &allocation, &commands);
  if (state < 0) {
    return state;
  }
  VkCommandBufferBeginInfo begin = {
    .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
    .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
  state = device->BeginCommandBuffer(commands, &begin);
  if (state < 0) {
    return state;
  }
  const VkAccessFlags both = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
  uint32_t count = read == written ? 1 : 2;
  VkBufferMemoryBarrier in[2] = {
    transfer(read, 0, both, VK_QUEUE_FAMILY_EXTERNAL, device->family),
    transfer(written, 0, both, VK_QUEUE_FAMILY_EXTERNAL, device->family)};
  VkBufferMemoryBarrier out[3] = {
    transfer(
      job->results, VK_ACCESS_SHADER_WRITE_BIT, VK_ACCESS_HOST_READ_BIT, VK_QUEUE_FAMILY_IGNORED,
      VK_QUEUE_FAMILY_IGNORED),
    transfer(read, both, 0, device->family, VK_QUEUE_FAMILY_EXTERNAL),
    transfer(written, both, 0, device->family, VK_QUEUE_FAMILY_EXTERNAL)};
  device->CmdPipelineBarrier(
    commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0, NULL,
    count, in, 0, NULL);
  device->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, shader->pipeline);
  device->CmdBindDescriptorSets(
    commands, VK_PIPELINE_BIND_POINT_COMPUTE, shader->layout, 0, 1, &set, 0, NULL);
  device->CmdPushConstants(
    commands, shader->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, parameter_byte_count, parameters);
  uint32_t rows = (group_count + groups_in_a_row - 1) / groups_in_a_row;
  uint32_t row = group_count < groups_in_a_row ? group_count : groups_in_a_row;
  device->CmdDispatch(commands, row, rows, 1);
  device->CmdPipelineBarrier(
    commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
    VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 0, NULL, count + 1, out,
    0, NULL);
  *result = commands;
  return device->EndCommandBuffer(commands);
}

// Hands the commands to the queue, with a semaphore that leaves as a sync file.
static VkResult submit(struct cvulkan_job *job, VkCommandBuffer commands, int *sync_file) {
  struct cvulkan_device *device = job->device;
  VkExportSemaphoreCreateInfo export = {
    .sType = VK_STRUCTURE_TYPE_EXPORT_SEMAPHORE_CREATE_INFO,
    .handleTypes = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT};
  VkSemaphoreCreateInfo semaphore = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &export};
  VkResult state = device->CreateSemaphore(device->device, &semaphore, NULL, &job->semaphore);
  if (state < 0) {
    return state;
  }
  VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  state = device->CreateFence(device->device, &fence, NULL, &job->fence);
  if (state < 0) {
    return state;
  }
  VkSubmitInfo work = {
    .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
    .commandBufferCount = 1,
    .pCommandBuffers = &commands,
    .signalSemaphoreCount = 1,
    .pSignalSemaphores = &job->semaphore};
  pthread_mutex_lock(&device->lock);
  state = device->QueueSubmit(device->queue, 1, &work, job->fence);
  pthread_mutex_unlock(&device->lock);
  if (state < 0) {
    return state;
  }
  VkSemaphoreGetFdInfoKHR question = {
    .sType = VK_STRUCTURE_TYPE_SEMAPHORE_GET_FD_INFO_KHR,
    .semaphore = job->semaphore,
    .handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT};
  state = device->GetSemaphoreFdKHR(device->device, &question, sync_file);
  if (state < 0) {
    // The device has the job already: what it uses must not be freed before it has ended.
    device->WaitForFences(device->device, 1, &job->fence, VK_TRUE, UINT64_MAX);
  }
  return state;
}

int cvulkan_job_begin(
  struct cvulkan_shader *shader, struct cvulkan_memory *read, struct cvulkan_memory *written,
  const uint32_t *list, size_t list_word_count, size_t result_word_count, uint32_t group_count,
  const uint32_t parameters[4], struct cvulkan_job **result, int *sync_file) {
  *sync_file = -1;
  struct cvulkan_job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    return -ENOMEM;
  }
  struct cvulkan_device *device = shader->device;
  job->device = device;
  void *list_words = NULL;
  int error = cvulkan_memory_host(device, 4 * list_word_count, &job->list, &list_words);
  if (error == 0) {
    memcpy(list_words, list, 4 * list_word_count);
    error = cvulkan_memory_host(device, 4 * result_word_count, &job->results, &job->result_words);
  }
  if (error == 0) {
    memset(job->result_words, 0, 4 * result_word_count);
    VkDescriptorSet set = VK_NULL_HANDLE;
    VkCommandBuffer commands = NULL;
    VkResult state = make_set(job, shader, read, written, &set);
    if (state >= 0) {
      state = record(job, shader, read, written, set, group_count, parameters, &commands);
    }
    if (state >= 0) {
      state = submit(job, commands, sync_file);
    }
    error = cvulkan_error(state);
  }
  if (error < 0) {
    cvulkan_job_close(job);
    return error;
  }
  *result = job;
  return 0;
}

int cvulkan_job_wait(struct cvulkan_job *job, uint64_t nanoseconds) {
  VkResult state = job->device->WaitForFences(
    job->device->device, 1, &job->fence, VK_TRUE, nanoseconds);
  return state == VK_TIMEOUT ? -ETIMEDOUT : cvulkan_error(state);
}

const uint32_t *cvulkan_job_results(const struct cvulkan_job *job) { return job->result_words; }

void cvulkan_job_close(struct cvulkan_job *job) {
  struct cvulkan_device *device = job->device;
  device->DestroyFence(device->device, job->fence, NULL);
  device->DestroySemaphore(device->device, job->semaphore, NULL);
  device->DestroyCommandPool(device->device, job->commands, NULL);
  device->DestroyDescriptorPool(device->device, job->sets, NULL);
  if (job->list != NULL) {
    cvulkan_memory_close(job->list);
  }
  if (job->results != NULL) {
    cvulkan_memory_close(job->results);
  }
  free(job);
}
