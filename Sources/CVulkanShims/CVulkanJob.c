// SPDX-License-Identifier: Apache-2.0
#include "CVulkanShims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { binding_count = 4, parameter_byte_count = 8, groups_in_a_row = 32768 };

struct cvulkan_job {
  struct cvulkan_device *device;
  struct cvulkan_memory *list;
  struct cvulkan_memory *results;
  void *result_words;
  VkDescriptorPool sets;
  VkCommandPool commands;
  VkSemaphore semaphore;
  VkFence fence;
  // What the queue waits for.
  VkSemaphore *waits;
  size_t wait_count;
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

// A buffer from a byte on, as far as a shader reaches.
static VkDescriptorBufferInfo window(
  const struct cvulkan_device *device, const struct cvulkan_memory *memory, uint64_t offset) {
  uint64_t left = memory->byte_count - offset;
  return (VkDescriptorBufferInfo){
    .buffer = memory->buffer,
    .offset = offset,
    .range = left < device->range_limit ? left : device->range_limit};
}

// A set of four buffers for each part of the work.
static VkResult make_sets(
  struct cvulkan_job *job, struct cvulkan_shader *shader, const struct cvulkan_work *work,
  VkDescriptorSet *sets) {
  struct cvulkan_device *device = job->device;
  uint32_t count = (uint32_t)work->part_count;
  VkDescriptorPoolSize size = {
    .type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = binding_count * count};
  VkDescriptorPoolCreateInfo pool = {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
    .maxSets = count,
    .poolSizeCount = 1,
    .pPoolSizes = &size};
  VkResult state = device->CreateDescriptorPool(device->device, &pool, NULL, &job->sets);
  for (uint32_t part = 0; part < count && state >= 0; part++) {
    VkDescriptorSetAllocateInfo allocation = {
      .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
      .descriptorPool = job->sets,
      .descriptorSetCount = 1,
      .pSetLayouts = &shader->sets};
    state = device->AllocateDescriptorSets(device->device, &allocation, &sets[part]);
    if (state < 0) {
      break;
    }
    VkDescriptorBufferInfo buffers[binding_count] = {
      window(device, work->read, work->parts[part].read_offset), window(device, job->list, 0),
      window(device, job->results, 0),
      window(device, work->written, work->parts[part].written_offset)};
    VkWriteDescriptorSet writes[binding_count];
    for (uint32_t i = 0; i < binding_count; i++) {
      writes[i] = (VkWriteDescriptorSet){
        .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
        .dstSet = sets[part],
        .dstBinding = i,
        .descriptorCount = 1,
        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .pBufferInfo = &buffers[i]};
    }
    device->UpdateDescriptorSets(device->device, binding_count, writes, 0, NULL);
  }
  return state;
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
  struct cvulkan_job *job, struct cvulkan_shader *shader, const struct cvulkan_work *work,
  const VkDescriptorSet *sets, VkCommandBuffer *result) {
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
  uint32_t count = work->read == work->written ? 1 : 2;
  VkBufferMemoryBarrier in[2] = {
    transfer(work->read, 0, both, VK_QUEUE_FAMILY_EXTERNAL, device->family),
    transfer(work->written, 0, both, VK_QUEUE_FAMILY_EXTERNAL, device->family)};
  VkBufferMemoryBarrier out[3] = {
    transfer(
      job->results, VK_ACCESS_SHADER_WRITE_BIT, VK_ACCESS_HOST_READ_BIT, VK_QUEUE_FAMILY_IGNORED,
      VK_QUEUE_FAMILY_IGNORED),
    transfer(work->read, both, 0, device->family, VK_QUEUE_FAMILY_EXTERNAL),
    transfer(work->written, both, 0, device->family, VK_QUEUE_FAMILY_EXTERNAL)};
  device->CmdPipelineBarrier(
    commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 0, NULL,
    count, in, 0, NULL);
  device->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, shader->pipeline);
  // Nothing orders the parts: no two of them touch the same bytes, but for atomic operations.
  for (size_t i = 0; i < work->part_count; i++) {
    const struct cvulkan_part *part = &work->parts[i];
    const uint32_t parameters[] = {part->first, part->end};
    _Static_assert(sizeof parameters == parameter_byte_count, "not as many as the layout has");
    device->CmdBindDescriptorSets(
      commands, VK_PIPELINE_BIND_POINT_COMPUTE, shader->layout, 0, 1, &sets[i], 0, NULL);
    device->CmdPushConstants(
      commands, shader->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, parameter_byte_count, parameters);
    uint32_t group_count = part->end - part->first;
    uint32_t rows = (group_count + groups_in_a_row - 1) / groups_in_a_row;
    uint32_t row = group_count < groups_in_a_row ? group_count : groups_in_a_row;
    device->CmdDispatch(commands, row, rows, 1);
  }
  device->CmdPipelineBarrier(
    commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
    VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 0, NULL, count + 1, out,
    0, NULL);
  *result = commands;
  return device->EndCommandBuffer(commands);
}

// Makes a semaphore of each sync file that the queue is to wait for.
static int import_waits(struct cvulkan_job *job, const struct cvulkan_work *work) {
  struct cvulkan_device *device = job->device;
  job->waits = calloc(work->wait_count + 1, sizeof *job->waits);
  if (job->waits == NULL) {
    return -ENOMEM;
  }
  VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  for (size_t i = 0; i < work->wait_count; i++) {
    int error =
      cvulkan_error(device->CreateSemaphore(device->device, &info, NULL, &job->waits[i]));
    if (error < 0) {
      return error;
    }
    job->wait_count++;
    // An import that succeeds takes the descriptor, one that fails does not.
    int own = fcntl(work->waits[i], F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
      return -errno;
    }
    VkImportSemaphoreFdInfoKHR import = {
      .sType = VK_STRUCTURE_TYPE_IMPORT_SEMAPHORE_FD_INFO_KHR,
      .semaphore = job->waits[i],
      .flags = VK_SEMAPHORE_IMPORT_TEMPORARY_BIT,
      .handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_SYNC_FD_BIT,
      .fd = own};
    error = cvulkan_error(device->ImportSemaphoreFdKHR(device->device, &import));
    if (error < 0) {
      close(own);
      return error;
    }
  }
  return 0;
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
  VkPipelineStageFlags *stages = calloc(job->wait_count + 1, sizeof *stages);
  if (stages == NULL) {
    return VK_ERROR_OUT_OF_HOST_MEMORY;
  }
  // Before the barrier that takes the memory over.
  for (size_t i = 0; i < job->wait_count; i++) {
    stages[i] = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
  }
  VkSubmitInfo work = {
    .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
    .waitSemaphoreCount = (uint32_t)job->wait_count,
    .pWaitSemaphores = job->waits,
    .pWaitDstStageMask = stages,
    .commandBufferCount = 1,
    .pCommandBuffers = &commands,
    .signalSemaphoreCount = 1,
    .pSignalSemaphores = &job->semaphore};
  pthread_mutex_lock(&device->lock);
  state = device->QueueSubmit(device->queue, 1, &work, job->fence);
  pthread_mutex_unlock(&device->lock);
  free(stages);
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

// The list and the results, in memory of their own.
static int make_lists(struct cvulkan_job *job, const struct cvulkan_work *work) {
  void *list_words = NULL;
  int error =
    cvulkan_memory_host(job->device, 4 * work->list_word_count, &job->list, &list_words);
  if (error < 0) {
    return error;
  }
  memcpy(list_words, work->list, 4 * work->list_word_count);
  error = cvulkan_memory_host(
    job->device, 4 * work->result_word_count, &job->results, &job->result_words);
  if (error == 0) {
    memset(job->result_words, 0, 4 * work->result_word_count);
  }
  return error;
}

int cvulkan_job_begin(
  struct cvulkan_shader *shader, const struct cvulkan_work *work, struct cvulkan_job **result,
  int *sync_file) {
  *sync_file = -1;
  struct cvulkan_job *job = calloc(1, sizeof *job);
  VkDescriptorSet *sets = calloc(work->part_count, sizeof *sets);
  if (job == NULL || sets == NULL) {
    free(sets);
    free(job);
    return -ENOMEM;
  }
  job->device = shader->device;
  int error = make_lists(job, work);
  if (error == 0) {
    error = import_waits(job, work);
  }
  if (error == 0) {
    VkCommandBuffer commands = NULL;
    VkResult state = make_sets(job, shader, work, sets);
    if (state >= 0) {
      state = record(job, shader, work, sets, &commands);
    }
    if (state >= 0) {
      state = submit(job, commands, sync_file);
    }
    error = cvulkan_error(state);
  }
  free(sets);
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
  for (size_t i = 0; i < job->wait_count; i++) {
    device->DestroySemaphore(device->device, job->waits[i], NULL);
  }
  free(job->waits);
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
