// SPDX-License-Identifier: Apache-2.0
// Widens each fragment's bf16 numbers to f32 at its destination, which is a multiple of 4. A fragment begins at an
// even byte; the result is how many numbers it has.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= end_of_fragments) return;
  uint begin = fragments[index].offset >> 1;
  uint count = fragments[index].byte_count >> 1;
  uint to = fragments[index].destination >> 2;
  for (uint number = lane; number < count; number += lane_count) {
    uint at = begin + number;
    uint half_word = memory.words[at >> 1] >> ((at & 1) * 16) & 0xffff;
    // The upper half of an f32 is what a bf16 is.
    destination.words[to + number] = half_word << 16;
  }
  if (lane == 0) results[fragments[index].result] = count;
}
