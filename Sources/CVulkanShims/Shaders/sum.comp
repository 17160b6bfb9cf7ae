// SPDX-License-Identifier: Apache-2.0
// The sum of each fragment's bytes, modulo 2^32.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

shared uint sums[lane_count];

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= end_of_fragments) return;
  uint begin = fragments[index].offset;
  uint end = begin + fragments[index].byte_count;
  uint sum = 0;
  // Bytes up to a word, words, and the bytes that are left.
  uint first = min(end, (begin + 3) & ~3u);
  uint last = max(first, end & ~3u);
  if (lane == 0) {
    for (uint at = begin; at < first; at++) sum += byte_at(at);
    for (uint at = last; at < end; at++) sum += byte_at(at);
  }
  for (uint at = first + 4 * lane; at < last; at += 4 * lane_count) {
    uint word = memory.words[at >> 2];
    uint pairs = (word & 0x00ff00ff) + (word >> 8 & 0x00ff00ff);
    sum += (pairs & 0xffff) + (pairs >> 16);
  }
  sums[lane] = sum;
  barrier();
  if (lane != 0) return;
  for (uint other = 1; other < lane_count; other++) sum += sums[other];
  results[fragments[index].result] = sum;
}
