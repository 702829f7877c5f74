// What WebAssembly can do at most on this machine: one thread's part of what limits.c measures for native kernels. The host
// asks all its threads at once, and adds.
#ifdef __wasm__
#include <stdint.h>
#include <wasm_simd128.h>

#include "program.h"

__attribute__((import_module("host"), import_name("nanoseconds"))) double host_nanoseconds(void);

#define UNROLL _Pragma("unroll")

// What a compiler can not know, and can not leave out.
static volatile float ratio = 0.5f;
static volatile int16_t whole = 1;
static volatile int32_t seen_last;

// Pages that were never written, or are all alike, may be one and the same page, which a cache holds.
double internvl_write(uint64_t *words, word bytes) {
  for (word i = 0; i < bytes / 8; i++) words[i] = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
  return 0;
}

// Bytes a second. `bytes` is a multiple of 128.
double internvl_read_rate(const v128_t *from, word bytes) {
  v128_t seen[8];
  UNROLL
  for (int k = 0; k < 8; k++) seen[k] = wasm_i64x2_const_splat(0);
  double begin = host_nanoseconds();
  for (word i = 0; i < bytes / 16; i += 8) {
    UNROLL
    for (int k = 0; k < 8; k++) seen[k] = wasm_v128_xor(seen[k], from[i + k]);
  }
  double nanoseconds = host_nanoseconds() - begin;
  for (int k = 1; k < 8; k++) seen[0] = wasm_v128_xor(seen[0], seen[k]);
  seen_last = wasm_i32x4_extract_lane(seen[0], 0);
  return (double)bytes / nanoseconds * 1e9;
}

enum { ROUNDS = 12, STEPS = 4096 };

// Runs STEP on each of the totals, which is OPERATIONS multiplications and additions, until the time is over.
#define RATE(OPERATIONS, STEP)                                         \
  double begin = host_nanoseconds(), passed, done = 0;                 \
  do {                                                                 \
    for (int step = 0; step < STEPS; step++) {                         \
      UNROLL                                                           \
      for (int i = 0; i < ROUNDS; i++) total[i] = STEP;                \
    }                                                                  \
    done += (double)STEPS * ROUNDS * (OPERATIONS);                     \
    passed = host_nanoseconds() - begin;                               \
  } while (passed < nanoseconds);                                      \
  for (int i = 0; i < ROUNDS; i++) seen_last = wasm_i32x4_extract_lane(total[i], 0); \
  return done / passed * 1e9;

static double f32_rate(double nanoseconds) {
  v128_t a = wasm_f32x4_splat(ratio), b = a, total[ROUNDS];
  UNROLL
  for (int i = 0; i < ROUNDS; i++) total[i] = wasm_f32x4_splat((float)i);
#if defined(__wasm_relaxed_simd__)
  RATE(8, wasm_f32x4_relaxed_madd(total[i], a, b))
#else
  RATE(8, wasm_f32x4_add(wasm_f32x4_mul(total[i], a), b))
#endif
}

static double int8_rate(double nanoseconds) {
  v128_t a = wasm_i16x8_splat(whole), b = wasm_i32x4_splat(whole), total[ROUNDS];
  UNROLL
  for (int i = 0; i < ROUNDS; i++) total[i] = wasm_i32x4_splat(i);
  RATE(16, wasm_i32x4_add(wasm_i32x4_dot_i16x8(total[i], a), b))
}

// Multiplications and additions a second, with everything in registers, of a kind of numbers (0 f32, 1 bf16, 2 int8). 0
// where there is no instruction for them.
double internvl_product_rate(int kind, double seconds) {
  return kind == 0 ? f32_rate(seconds * 1e9) : kind == 2 ? int8_rate(seconds * 1e9) : 0;
}
#endif
