// The widest registers of the processor ("lanes"), and exponentials without a call.
#ifndef INTERNVL_VECTOR_MATH_H
#define INTERNVL_VECTOR_MATH_H

#include "simd.h"

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float lanes_f32 __attribute__((vector_size(LANES * 4)));
typedef int32_t lanes_i32 __attribute__((vector_size(LANES * 4)));
typedef uint32_t lanes_u32 __attribute__((vector_size(LANES * 4)));

INLINE lanes_f32 load_lanes(const float *from) {
  lanes_f32 v;
  memcpy(&v, from, sizeof v);
  return v;
}

INLINE void store_lanes(float *to, lanes_f32 v) { memcpy(to, &v, sizeof v); }

INLINE lanes_f32 splat(float x) {
#if LANES == 16
  return (lanes_f32)_mm512_set1_ps(x);
#elif LANES == 8
  return (lanes_f32)_mm256_set1_ps(x);
#else
  return (lanes_f32){x, x, x, x};
#endif
}

// The larger of each; b where either is not a number.
INLINE lanes_f32 larger(lanes_f32 a, lanes_f32 b) {
#if LANES == 16
  return (lanes_f32)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
  return (lanes_f32)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
  return (lanes_f32)_mm_max_ps((__m128)a, (__m128)b);
#else
  lanes_i32 first = (lanes_i32)(a > b);
  return (lanes_f32)(((lanes_i32)a & first) | ((lanes_i32)b & ~first));
#endif
}

// a · b + c, rounded once where the processor can.
INLINE lanes_f32 times_plus(lanes_f32 a, lanes_f32 b, lanes_f32 c) {
#if defined(__wasm_relaxed_simd__)
  return __builtin_wasm_relaxed_madd_f32x4(a, b, c);
#else
  return a * b + c;
#endif
}

// One after another they would wait for each other: where registers are wide, halves are added.
INLINE float sum_lanes(lanes_f32 v) {
#if LANES == 16
  return _mm512_reduce_add_ps((__m512)v);
#else
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += v[i];
  return sum;
#endif
}

INLINE float max_lanes(lanes_f32 v) {
#if LANES == 16
  return _mm512_reduce_max_ps((__m512)v);
#else
  float most = v[0];
  for (int i = 1; i < LANES; i++) most = v[i] > most ? v[i] : most;
  return most;
#endif
}

// To the nearest bf16. Processors with an instruction for it make zeros of subnormal numbers, as their products do.
INLINE void pairs16(uint16_t *to, f32x16 v) {
#if defined(__AVX512BF16__)
  __m256bh narrow = _mm512_cvtneps_pbh((__m512)v);
  memcpy(to, &narrow, sizeof narrow);
#else
  narrow16(to, v);
#endif
}

// p · 2^n for whole n from -126 to 127, as 2^n is a number whose bits are known.
INLINE lanes_f32 times_power(lanes_f32 p, lanes_i32 n) { return p * (lanes_f32)((n + 127) << 23); }

// The nearest whole number to x, |x| < 2^22, as a float and as an integer.
INLINE lanes_f32 nearest(lanes_f32 x, lanes_i32 *whole) {
  const lanes_f32 large = splat(0x1.8p23f);
  lanes_f32 shifted = x + large;
  *whole = (lanes_i32)shifted - (lanes_i32)large;
  return shifted - large;
}

// 2^x for x ≤ 127: within 2 ulp, or if `rough` within 4e-6; 0 below -126 (-inf included); NaN stays NaN.
INLINE lanes_f32 exp2_lanes(lanes_f32 x, int rough) {
#if LANES == 16
  // Largest first: the maximum keeps a NaN in its second place.
  x = larger(splat(-160), x);
  lanes_f32 whole = (lanes_f32)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  lanes_i32 n, small = (lanes_i32)(x < -126.0f);
  lanes_f32 whole = nearest(x, &n);
#endif
  lanes_f32 f = x - whole, p;
  if (rough) {
    p = times_plus(splat(0.00966636837f), f, splat(0.0559219755f));
    p = times_plus(p, f, splat(0.240223497f));
    p = times_plus(p, f, splat(0.693121016f));
  } else {
    p = times_plus(splat(0.000154614449f), f, splat(0.00134004280f));
    p = times_plus(p, f, splat(0.00961805694f));
    p = times_plus(p, f, splat(0.0555032715f));
    p = times_plus(p, f, splat(0.240226507f));
    p = times_plus(p, f, splat(0.693147182f));
  }
  p = times_plus(p, f, splat(1.0f));
#if LANES == 16
  return (lanes_f32)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
  return (lanes_f32)((lanes_i32)times_power(p, n) & ~small);
#endif
}

INLINE float exp2_one(float x) { return exp2_lanes(splat(x), 0)[0]; }

// e^x within 2 ulp: 0 below -87 (-inf included), infinity above 88.7, NaN stays NaN.
INLINE lanes_f32 exp_lanes(lanes_f32 x) {
  lanes_i32 n, small = (lanes_i32)(x < -87.0f), large = (lanes_i32)(x > 88.7f);
  lanes_f32 whole = nearest(x * 1.44269504f, &n);
  // ln 2 in two parts, the first short enough that its product with n is exact.
  lanes_f32 f = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  lanes_f32 p = times_plus(splat(0.00139411166f), f, splat(0.00837513246f));
  p = times_plus(p, f, splat(0.0416663513f));
  p = times_plus(p, f, splat(0.166664153f));
  p = times_plus(p, f, splat(0.5f));
  p = times_plus(p, f, splat(1.0f));
  p = times_plus(p, f, splat(1.0f));
  // 2^128 is past the largest exponent: half of n at a time.
  lanes_i32 half = n >> 1;
  p = times_power(times_power(p, half), n - half);
  const lanes_i32 infinity = (lanes_i32)splat(__builtin_inff());
  return (lanes_f32)((((lanes_i32)p & ~large) | (infinity & large)) & ~small);
}

INLINE f32x16 exp16(f32x16 x) {
  lanes_f32 parts[16 / LANES];
  memcpy(parts, &x, sizeof x);
  for (int i = 0; i < 16 / LANES; i++) parts[i] = exp_lanes(parts[i]);
  memcpy(&x, parts, sizeof x);
  return x;
}

#endif
