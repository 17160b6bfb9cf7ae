// SPDX-License-Identifier: Apache-2.0
// Copies each fragment to its destination, from any byte to any byte. The result is its number of bytes.
//
// A word that is wholly the fragment's is stored; of the words at its ends, whose other bytes may be another
// fragment's that is copied at the same time, its bytes alone are exchanged.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

// Four bytes from any byte on.
uint word_at(uint offset) {
  uint shift = (offset & 3) * 8;
  uint low = memory.words[offset >> 2] >> shift;
  return shift == 0 ? low : low | memory.words[(offset >> 2) + 1] << (32 - shift);
}

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= end_of_fragments) return;
  uint begin = fragments[index].offset;
  uint count = fragments[index].byte_count;
  uint to = fragments[index].destination;
  if (lane == 0) results[fragments[index].result] = count;
  if (count == 0) return;
  uint last = (to + count - 1) >> 2;
  for (uint word = (to >> 2) + lane; word <= last; word += lane_count) {
    uint at = word << 2;
    if (at >= to && count - (at - to) >= 4) {
      destination.words[word] = word_at(begin + (at - to));
      continue;
    }
    uint mask = 0;
    uint bits = 0;
    for (uint part = 0; part < 4; part++) {
      uint place = at + part;
      if (place < to || place - to >= count) continue;
      mask |= 0xffu << (8 * part);
      bits |= byte_at(begin + (place - to)) << (8 * part);
    }
    atomicAnd(destination.words[word], ~mask);
    atomicOr(destination.words[word], bits);
  }
}
