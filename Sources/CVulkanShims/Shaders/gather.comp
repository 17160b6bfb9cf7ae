// SPDX-License-Identifier: Apache-2.0
// Copies each fragment to its destination, so that they lie one behind the other. A destination is a multiple of 4;
// where a fragment does not end at one, the rest of its last word becomes 0. The result is its number of bytes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= fragment_count) return;
  uint begin = fragments[index].offset;
  uint count = fragments[index].byte_count;
  uint to = fragments[index].destination >> 2;
  for (uint at = 4 * lane; at < count; at += 4 * lane_count) {
    uint word = 0;
    for (uint part = 0; part < min(4, count - at); part++) {
      word |= byte_at(begin + at + part) << (8 * part);
    }
    destination.words[to + (at >> 2)] = word;
  }
  if (lane == 0) results[index] = count;
}
