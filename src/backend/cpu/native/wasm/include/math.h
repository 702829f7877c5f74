// The part of <math.h> that the kernels use, for WebAssembly: see ../libc.c.
#ifndef INTERNVL_WASM_MATH_H
#define INTERNVL_WASM_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)

// One instruction each.
static inline float fabsf(float x) { return __builtin_fabsf(x); }
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }

// To the nearest whole number, halves away from zero. Inline: packing rounds every weight.
static inline float roundf(float x) {
  float whole = __builtin_truncf(x);
  return fabsf(x - whole) >= 0.5f ? whole + __builtin_copysignf(1, x) : whole;
}

float ldexpf(float x, int exponent);
double exp(double x);
double log(double x);

#endif
