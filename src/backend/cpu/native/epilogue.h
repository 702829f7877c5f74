// What follows a product: bias, exact GELU, layer scale, residual, table; or the gate of a gated product. Sixteen
// outputs of a row at a time.
#ifndef INTERNVL_EPILOGUE_H
#define INTERNVL_EPILOGUE_H

#include "program.h"
#include "simd.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

static inline f32x16 choose16(i32x16 mask, f32x16 yes, f32x16 no) {
  return (f32x16)(((i32x16)yes & mask) | ((i32x16)no & ~mask));
}

// e^x to 2 ulp: 2^n times the Taylor series of e^r, |r| <= ln(2) / 2. Clamped to the finite, normal range.
static inline f32x16 exponential16(f32x16 x) {
  const float round = 0x1.8p23f;
  x = choose16(x < -87.0f, splat16(-87.0f), x);
  x = choose16(x > 88.0f, splat16(88.0f), x);
  f32x16 shifted = x * 1.44269504f + round, n = shifted - round;
  f32x16 r = x - n * 0.693359375f + n * 2.12194440e-4f;
  f32x16 p = 1.0f / 5040 * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1;
  i32x16 power = ((i32x16)shifted - 0x4b400000 + 127) << 23;
  return p * (f32x16)power;
}

// x * Phi(x), Phi the normal distribution: 1 + erf(x / sqrt(2)) over 2. erfc(z) = e^(-z²) t P(t) with t = 1 / (1 + 0.38 z);
// P was fitted to 3e-8 over z in 0..12, so both tails keep their relative precision.
static inline f32x16 gelu16(f32x16 x) {
  f32x16 magnitude = (f32x16)((i32x16)x & 0x7fffffff);
  f32x16 t = 1 / (1 + 0.38f * 0.70710678f * magnitude);
  f32x16 p = 0.059985054572f * t - 0.26719689704f;
  p = p * t + 0.37390880021f;
  p = p * t - 0.17277347066f;
  p = p * t + 0.23767347636f;
  p = p * t + 0.13548417113f;
  p = p * t + 0.20468736409f;
  p = p * t + 0.21381474167f;
  p = p * t + 0.21441678301f;
  // Beyond -80 the tail would be a denormal number, which takes processors a hundred times longer.
  f32x16 power = -0.5f * x * x, tail = 0.5f * exponential16(choose16(power < -80.0f, splat16(-80.0f), power)) * t * p;
  return x * choose16(x < 0, tail, 1 - tail);
}

// x / (1 + e^-x)
static inline f32x16 silu16(f32x16 x) { return x / (1 + exponential16(-x)); }

// `count` values, 16 or fewer, the rest zeros.
static inline f32x16 load_some(const float *from, word count) {
  if (count == 16) return load16(from);
  f32x16 v = {0};
  memcpy(&v, from, (size_t)count * sizeof(float));
  return v;
}

static inline void store_some(float *to, f32x16 v, word count) {
  if (count == 16) store16(to, v);
  else memcpy(to, &v, (size_t)count * sizeof(float));
}

// Outputs of many rows go past the caches where `past` says so and the processor can: a store into them would first read
// the line, which takes memory as long as the writing.
static inline void store_output(float *to, f32x16 v, word count, bool past) {
#if defined(__AVX512F__)
  if (past && count == 16 && (uintptr_t)to % 64 == 0) {
    _mm512_stream_ps(to, (__m512)v);
    return;
  }
#endif
  (void)past;
  store_some(to, v, count);
}

// Outputs m.. of row n, from their sums.
static inline void finish(const matmul_operation *o, word n, word m, word count, bool past, f32x16 v) {
  if (o->bias) v += load_some(AT(float, o->bias) + m, count);
  if (o->gelu) v = gelu16(v);
  if (o->scale) v *= load_some(AT(float, o->scale) + m, count);
  if (o->residual.address) v += load_some(row_f32(&o->residual, n) + m, count);
  if (o->table.address) v += load_some(row_f32(&o->table, n % o->table.rows) + m, count);
  store_output(row_f32(&o->output, n) + m, v, count, past);
}

#endif
