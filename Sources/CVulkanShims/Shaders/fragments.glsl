// SPDX-License-Identifier: Apache-2.0
//
// What the shaders over fragments have in common: one workgroup of 64 for each fragment, wherever
// it lies in the memory, at whatever byte.

layout(local_size_x = 64) in;

layout(std430, set = 0, binding = 0) buffer Read { uint words[]; } memory;

struct Fragment {
  uint offset;       // in bytes
  uint byte_count;
  uint destination;  // in bytes of the memory that is written
  uint result;       // which of the results is its
};
layout(std430, set = 0, binding = 1) readonly buffer List { Fragment fragments[]; };
layout(std430, set = 0, binding = 2) writeonly buffer Results { uint results[]; };
layout(std430, set = 0, binding = 3) buffer Written { uint words[]; } destination;
layout(push_constant) uniform Parameters { uint first_fragment; uint end_of_fragments; };

const uint lane_count = 64;

// Rows of workgroups are as long as CVulkanJob.c makes them; the last may have some too many.
uint fragment_index() { return first_fragment + gl_WorkGroupID.y * 32768 + gl_WorkGroupID.x; }

uint byte_at(uint offset) { return memory.words[offset >> 2] >> ((offset & 3) * 8) & 0xff; }
