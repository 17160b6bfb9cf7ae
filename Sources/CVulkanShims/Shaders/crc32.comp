// SPDX-License-Identifier: Apache-2.0
// The CRC-32 of each fragment's bytes (IEEE 802.3, as zlib's crc32).
//
// Each lane has a stretch of its own; the remainders are then put together as polynomials: one lane's, times x to the
// number of bits behind its stretch, added to the others'.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "fragments.glsl"

const uint polynomial = 0xedb88320;
shared uint remainders[lane_count];

uint times(uint a, uint b) {
  uint product = 0;
  for (uint bit = 0x80000000u; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1) != 0 ? b >> 1 ^ polynomial : b >> 1;
  }
  return product;
}

// x to the power of 8 * bytes.
uint shift_by(uint bytes) {
  uint power = 0x80000000u;
  uint base = 0x00800000u;
  while (bytes != 0) {
    if ((bytes & 1) != 0) power = times(power, base);
    base = times(base, base);
    bytes >>= 1;
  }
  return power;
}

void main() {
  uint lane = gl_LocalInvocationID.x;
  uint index = fragment_index();
  if (index >= end_of_fragments) return;
  uint begin = fragments[index].offset;
  uint end = begin + fragments[index].byte_count;
  uint stretch = (fragments[index].byte_count + lane_count - 1) / lane_count;
  uint from = min(end, begin + lane * stretch);
  uint to = min(end, from + stretch);
  // What a CRC begins with belongs to the first byte.
  uint crc = lane == 0 ? 0xffffffffu : 0;
  for (uint at = from; at < to; at++) {
    crc ^= byte_at(at);
    for (uint bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ polynomial : crc >> 1;
  }
  remainders[lane] = times(crc, shift_by(end - to));
  barrier();
  if (lane != 0) return;
  uint sum = 0;
  for (uint other = 0; other < lane_count; other++) sum ^= remainders[other];
  results[fragments[index].result] = ~sum;
}
