// Sixteen lanes, whatever the processor: the compiler splits them into the registers it has.
#ifndef INTERNVL_SIMD_H
#define INTERNVL_SIMD_H

#include <stdint.h>
#include <string.h>

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));

static inline f32x16 load16(const float *from) {
  f32x16 v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline void store16(float *to, f32x16 v) { memcpy(to, &v, sizeof v); }

static inline f32x16 splat16(float x) { return (f32x16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

#if defined(__wasm__)
// One lane at a time would be one instruction each, and more.
#include <wasm_simd128.h>
static inline float sum16(f32x16 v) {
  v128_t part[4];
  memcpy(part, &v, sizeof part);
  v128_t sum = wasm_f32x4_add(wasm_f32x4_add(part[0], part[1]), wasm_f32x4_add(part[2], part[3]));
  sum = wasm_f32x4_add(sum, wasm_i32x4_shuffle(sum, sum, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1);
}

static inline float max16(f32x16 v) {
  v128_t part[4];
  memcpy(part, &v, sizeof part);
  v128_t most = wasm_f32x4_pmax(wasm_f32x4_pmax(part[0], part[1]), wasm_f32x4_pmax(part[2], part[3]));
  most = wasm_f32x4_pmax(most, wasm_i32x4_shuffle(most, most, 2, 3, 0, 1));
  float a = wasm_f32x4_extract_lane(most, 0), b = wasm_f32x4_extract_lane(most, 1);
  return a < b ? b : a;
}
#else
static inline float sum16(f32x16 v) {
  float sum = 0;
  for (int i = 0; i < 16; i++) sum += v[i];
  return sum;
}

static inline float max16(f32x16 v) {
  float most = v[0];
  for (int i = 1; i < 16; i++) most = v[i] > most ? v[i] : most;
  return most;
}
#endif

// bf16 is the upper half of an f32.
static inline float from_bf16(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// To the nearest bf16, ties to even; a NaN stays one.
static inline uint16_t to_bf16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// 16 bf16 to f32.
static inline f32x16 widen16(const uint16_t *from) {
  u16x16 narrow;
  memcpy(&narrow, from, sizeof narrow);
  u32x16 wide = __builtin_convertvector(narrow, u32x16) << 16;
  return (f32x16)wide;
}

static inline void narrow16(uint16_t *to, f32x16 v) {
  u32x16 bits = (u32x16)v;
  u32x16 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  // A NaN must not round to infinity.
  u32x16 nan = (u32x16)((bits & 0x7fffffff) > 0x7f800000);
  rounded = (rounded & ~nan) | ((bits >> 16 | 0x40) & nan);
  u16x16 narrow = __builtin_convertvector(rounded, u16x16);
  memcpy(to, &narrow, sizeof narrow);
}

#endif
