// SPDX-License-Identifier: Apache-2.0
// Reverses the bytes of each word of each fragment, in place. Words that are not wholly in the fragment stay; the
// result is the number of those that changed places.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= end_of_fragments) return;
  uint begin = (fragments[index].offset + 3) >> 2;
  uint end = (fragments[index].offset + fragments[index].byte_count) >> 2;
  for (uint at = begin + lane; at < end; at += lane_count) {
    uint word = memory.words[at];
    memory.words[at] =
      word >> 24 | (word >> 8 & 0xff00) | (word << 8 & 0xff0000) | word << 24;
  }
  if (lane == 0) results[fragments[index].result] = end > begin ? end - begin : 0;
}
