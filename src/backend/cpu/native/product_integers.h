// Products of int8 and int4 weights as WebAssembly has them: its dot product is of pairs of int16, and a vector of 16 bytes
// holds four rows. Bytes and nibbles stay where they lie: shifts and masks make int16 of them that are too large by a
// power of two, which is made good on the other side. All sums are exact integers in 256ths, then f32.
//
// A row's word of int8 is two int16, of columns 0 (low byte) and 1, and of columns 2 and 3: `<< 8` leaves 256 times
// columns 0 and 2, `& 0xff00` 256 times columns 1 and 3. 512 columns of 127 * 127 * 256 stay below 2^31.
// A row's word of int4 is two int16 of nibbles, from the low end columns 0, 4, 1, 5 and columns 2, 6, 3, 7: `& 0x000f`
// leaves columns 0 and 2, `& 0x00f0` 16 times columns 4 and 6, `& 0x0f00` 256 times 1 and 3, `>> 12` columns 5 and 7.
// operand.h has the other side. Relaxed SIMD has a dot product of int8 and int7, which nibbles are.
#ifndef INTERNVL_PRODUCT_INTEGERS_H
#define INTERNVL_PRODUCT_INTEGERS_H

#if defined(__wasm__)
#include <wasm_simd128.h>

#include "product.h"
#include "product_floats.h"

INLINE ints dot(v128_t weights, v128_t values) { return (ints)wasm_i32x4_dot_i16x8(weights, values); }

// One span.
INLINE void add_int8(const int rows, const uint32_t *x, const float *scales, word lines, const uint8_t *w, float *sums) {
  ints acc[ROW_STEP][PARTS];
  UNROLL
  for (int r = 0; r < rows; r++) {
    UNROLL
    for (int part = 0; part < PARTS; part++) acc[r][part] = (ints){0};
  }
  for (word i = 0; i < lines; i++, x += 2 * rows, w += 64) {
    v128_t even[ROW_STEP], odd[ROW_STEP];
    UNROLL
    for (int r = 0; r < rows; r++) even[r] = wasm_v128_load32_splat(x + r), odd[r] = wasm_v128_load32_splat(x + rows + r);
    UNROLL
    for (int part = 0; part < PARTS; part++) {
      v128_t line = wasm_v128_load(w + part * 16);
      v128_t low = wasm_i16x8_shl(line, 8), high = wasm_v128_and(line, wasm_u16x8_const_splat(0xff00));
      UNROLL
      for (int r = 0; r < rows; r++) acc[r][part] += dot(low, even[r]) + dot(high, odd[r]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) {
    floats scale = scales[r] / 256 - (floats){0};
    UNROLL
    for (int part = 0; part < PARTS; part++) {
      float *sum = sums + r * PANEL_ROWS + part * LANES;
      store_floats(sum, multiply_add(__builtin_convertvector(acc[r][part], floats), scale, load_floats(sum)));
    }
  }
}

// Sums of a group, as f32 with their scales.
INLINE void add_group(const int rows, ints acc[ROW_STEP][PARTS], const float *scales, float unit, const uint8_t *weight_scales,
                      float *sums) {
  UNROLL
  for (int part = 0; part < PARTS; part++) {
    floats scale = (floats)wasm_i32x4_shl(wasm_u32x4_load16x4(weight_scales + part * 8), 16);
    UNROLL
    for (int r = 0; r < rows; r++) {
      float *sum = sums + r * PANEL_ROWS + part * LANES;
      floats both = scale * (scales[r] * unit);
      store_floats(sum, multiply_add(__builtin_convertvector(acc[r][part], floats), both, load_floats(sum)));
    }
  }
}

// Groups of 32 columns: 4 lines.
#if defined(__wasm_relaxed_simd__)
// With dot products of int8 pairs nibbles need no more than to stand apart. The sums of a group, 16 of them in an int16, stay
// below 16 * 15 * 127 < 2^15.
INLINE void add_int4(const int rows, const uint32_t *x, const float *scales, const int32_t *offsets, word groups,
                     const uint8_t *w, const uint8_t *weight_scales, float *sums) {
  const v128_t mask = wasm_u8x16_const_splat(15);
  for (word g = 0; g < groups; g++, scales += rows, offsets += rows, weight_scales += 2 * PANEL_ROWS) {
    v128_t narrow[ROW_STEP][PARTS];
    UNROLL
    for (int r = 0; r < rows; r++) {
      UNROLL
      for (int part = 0; part < PARTS; part++) narrow[r][part] = wasm_i16x8_const_splat(0);
    }
#pragma nounroll
    for (int i = 0; i < 4; i++, x += 2 * rows, w += 64) {
      v128_t first[ROW_STEP], second[ROW_STEP];
      UNROLL
      for (int r = 0; r < rows; r++) {
        first[r] = wasm_v128_load32_splat(x + r), second[r] = wasm_v128_load32_splat(x + rows + r);
      }
      UNROLL
      for (int part = 0; part < PARTS; part++) {
        v128_t line = wasm_v128_load(w + part * 16);
        v128_t low = wasm_v128_and(line, mask), high = wasm_v128_and(wasm_u16x8_shr(line, 4), mask);
        UNROLL
        for (int r = 0; r < rows; r++) {
          v128_t sum = wasm_i16x8_add(narrow[r][part], wasm_i16x8_relaxed_dot_i8x16_i7x16(first[r], low));
          narrow[r][part] = wasm_i16x8_add(sum, wasm_i16x8_relaxed_dot_i8x16_i7x16(second[r], high));
        }
      }
    }
    ints acc[ROW_STEP][PARTS];
    UNROLL
    for (int r = 0; r < rows; r++) {
      UNROLL
      for (int part = 0; part < PARTS; part++) {
        acc[r][part] = (ints)wasm_i32x4_extadd_pairwise_i16x8(narrow[r][part]) + offsets[r];
      }
    }
    add_group(rows, acc, scales, 1, weight_scales, sums);
  }
}
#else
INLINE void add_int4(const int rows, const uint32_t *x, const float *scales, const int32_t *offsets, word groups,
                     const uint8_t *w, const uint8_t *weight_scales, float *sums) {
  for (word g = 0; g < groups; g++, scales += rows, offsets += rows, weight_scales += 2 * PANEL_ROWS) {
    ints acc[ROW_STEP][PARTS];
    UNROLL
    for (int r = 0; r < rows; r++) {
      UNROLL
      for (int part = 0; part < PARTS; part++) acc[r][part] = offsets[r] - (ints){0};
    }
#pragma nounroll
    for (int i = 0; i < 4; i++, x += 4 * rows, w += 64) {
      v128_t values[ROW_STEP][4];
      UNROLL
      for (int r = 0; r < rows; r++) {
        UNROLL
        for (int k = 0; k < 4; k++) values[r][k] = wasm_v128_load32_splat(x + k * rows + r);
      }
      UNROLL
      for (int part = 0; part < PARTS; part++) {
        v128_t line = wasm_v128_load(w + part * 16);
        v128_t nibbles[] = {
            wasm_v128_and(line, wasm_u16x8_const_splat(0x000f)), wasm_v128_and(line, wasm_u16x8_const_splat(0x00f0)),
            wasm_v128_and(line, wasm_u16x8_const_splat(0x0f00)), wasm_u16x8_shr(line, 12),
        };
        UNROLL
        for (int r = 0; r < rows; r++) {
          UNROLL
          for (int k = 0; k < 4; k++) acc[r][part] += dot(nibbles[k], values[r][k]);
        }
      }
    }
    add_group(rows, acc, scales, 1.0f / 256, weight_scales, sums);
  }
}
#endif

static void multiply_integers(const block *b) {
  const operand *x = b->x;
  for (word g = 0; g < b->groups; g++) {
    word group = b->first_group + g, rows = rows_in_group(x, group), row = g * ROW_STEP * PANEL_ROWS;
    const uint32_t *values = (const uint32_t *)(const void *)(group_at(x, group) + b->from * rows * bytes_per_column(x->way));
    word span = span_at(x, group, b->from / span_of(x->way)), columns = b->end - b->from;
    const float *scales = x->scales + span;
    for (int p = 0; p < 2; p++) {
      const panel *panel = &b->panels[p];
      float *sums = panel->sums + row;
      if (x->way == INT8_HALVES) {
        for (word from = 0; from < columns; from += INT8_SPAN) {
          const uint8_t *w = panel->values + (b->from + from) * PANEL_ROWS;
          const float *of_span = scales + from / INT8_SPAN * rows;
          word lines = (columns - from < INT8_SPAN ? columns - from : INT8_SPAN) / 4;
          WITH_ROWS(rows, add_int8, values + from / 2 * rows, of_span, lines, w, sums)
        }
      } else {
        const uint8_t *w = panel->values + b->from * PANEL_ROWS / 2;
        const uint8_t *weight_scales = panel->scales + b->from / INT4_GROUP * PANEL_ROWS * 2;
        WITH_ROWS(rows, add_int4, values, scales, x->sums + span, columns / INT4_GROUP, w, weight_scales, sums)
      }
    }
  }
}
#endif

#endif
