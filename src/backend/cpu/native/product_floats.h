// Products in f32 for weights of any format, on any processor: the weights of a block are widened to f32 once, into the
// first cache, and multiplied with all its rows. int8 weights are widened without their scale.
#ifndef INTERNVL_PRODUCT_FLOATS_H
#define INTERNVL_PRODUCT_FLOATS_H

#include "product.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#define PANELS_AT_ONCE 2
#elif defined(__AVX__)
#define LANES 8
#define PANELS_AT_ONCE 1
#else
#define LANES 4
#define PANELS_AT_ONCE 1
#endif
#define PARTS (PANEL_ROWS / LANES)

typedef float floats __attribute__((vector_size(LANES * 4)));
typedef int32_t ints __attribute__((vector_size(LANES * 4)));
typedef uint32_t bits __attribute__((vector_size(LANES * 4)));

INLINE floats load_floats(const void *from) {
  floats v;
  memcpy(&v, from, sizeof v);
  return v;
}
INLINE bits load_bits(const void *from) {
  bits v;
  memcpy(&v, from, sizeof v);
  return v;
}
// a b + c, rounded once where the processor can.
INLINE floats multiply_add(floats a, floats b, floats c) {
#if defined(__wasm_relaxed_simd__)
  return __builtin_wasm_relaxed_madd_f32x4(a, b, c);
#else
  return a * b + c;
#endif
}
INLINE void store_floats(void *to, floats v) { memcpy(to, &v, sizeof v); }

// Nibble values -8..7 of bits 0..3, as f32.
INLINE floats nibbles(bits v) {
#if defined(__AVX512F__)
  const floats table = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
  return (floats)_mm512_permutexvar_ps((__m512i)v, (__m512)table);
#else
  return __builtin_convertvector((ints)(v & 15) - 8, floats);
#endif
}

// A line of 64 bytes is 16 rows of 4 bytes, with 1, 2, 4 or 8 columns.
INLINE void widen_line(const uint8_t *line, word format, const uint16_t *scales, float *to) {
  UNROLL
  for (int part = 0; part < PARTS; part++) {
    bits v = load_bits(line + part * LANES * 4);
    float *out = to + part * LANES;
    switch (format) {
      case PANEL_BF16:
        store_floats(out, (floats)(v << 16));
        store_floats(out + PANEL_ROWS, (floats)(v & 0xffff0000u));
        break;
      case PANEL_INT8:
        UNROLL
        for (int c = 0; c < 4; c++) {
          store_floats(out + c * PANEL_ROWS, __builtin_convertvector((ints)(v << (24 - 8 * c)) >> 24, floats));
        }
        break;
      default: {
        float wide[LANES];
        for (int i = 0; i < LANES; i++) wide[i] = from_bf16(scales[part * LANES + i]);
        floats scale = load_floats(wide);
        UNROLL
        for (int c = 0; c < 8; c++) {
          store_floats(out + c * PANEL_ROWS, nibbles(v >> (8 * (c % 4) + 4 * (c / 4))) * scale);
        }
      }
    }
  }
}

INLINE const float *widen_panel(const word format, const panel *panel, word block_from, word from, word end, float *to) {
  word columns_a_line = format == PANEL_F32 ? 1 : format == PANEL_BF16 ? 2 : format == PANEL_INT8 ? 4 : 8;
  word first = from / columns_a_line, last = end / columns_a_line, ahead = first - block_from / columns_a_line;
  const uint16_t *scales = (const uint16_t *)(const void *)panel->scales;
  for (word i = first; i < last; i++, ahead++) {
    fetch(panel->next + ahead * 64);
    if (format == PANEL_F32) continue;
    widen_line(panel->values + i * 64, format, scales + i * columns_a_line / INT4_GROUP * PANEL_ROWS,
               to + (i - first) * columns_a_line * PANEL_ROWS);
  }
  return format == PANEL_F32 ? (const float *)(const void *)panel->values + from * PANEL_ROWS : to;
}

INLINE void add_floats(const int rows, const float *x, word columns, const float *const *weights, float *const *sums) {
  floats acc[ROW_STEP][PANELS_AT_ONCE * PARTS];
  UNROLL
  for (int r = 0; r < rows; r++) {
    UNROLL
    for (int p = 0; p < PANELS_AT_ONCE * PARTS; p++) {
      acc[r][p] = load_floats(sums[p / PARTS] + r * PANEL_ROWS + p % PARTS * LANES);
    }
  }
  for (word c = 0; c < columns; c++) {
    floats w[PANELS_AT_ONCE * PARTS];
    UNROLL
    for (int p = 0; p < PANELS_AT_ONCE * PARTS; p++) {
      w[p] = load_floats(weights[p / PARTS] + c * PANEL_ROWS + p % PARTS * LANES);
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
      floats value = x[c * rows + r] - (floats){0};
      UNROLL
      for (int p = 0; p < PANELS_AT_ONCE * PARTS; p++) acc[r][p] = multiply_add(value, w[p], acc[r][p]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) {
    UNROLL
    for (int p = 0; p < PANELS_AT_ONCE * PARTS; p++) {
      store_floats(sums[p / PARTS] + r * PANEL_ROWS + p % PARTS * LANES, acc[r][p]);
    }
  }
}

static void multiply_floats(const block *b) {
  const operand *x = b->x;
  for (word from = b->from; from < b->end; from += FLOATS_AT_ONCE) {
    word end = from + FLOATS_AT_ONCE < b->end ? from + FLOATS_AT_ONCE : b->end;
    const float *weights[2];
    for (int p = 0; p < 2; p++) {
      float *to = b->scratch + p * FLOATS_AT_ONCE * PANEL_ROWS;
      switch (b->format) {
        case PANEL_F32: weights[p] = widen_panel(PANEL_F32, &b->panels[p], b->from, from, end, to); break;
        case PANEL_BF16: weights[p] = widen_panel(PANEL_BF16, &b->panels[p], b->from, from, end, to); break;
        case PANEL_INT8: weights[p] = widen_panel(PANEL_INT8, &b->panels[p], b->from, from, end, to); break;
        default: weights[p] = widen_panel(PANEL_INT4, &b->panels[p], b->from, from, end, to);
      }
    }
    for (word g = 0; g < b->groups; g++) {
      word rows = rows_in_group(x, b->first_group + g), row = g * ROW_STEP * PANEL_ROWS;
      const float *values = (const float *)(const void *)group_at(x, b->first_group + g) + from * rows;
      for (int p = 0; p < 2; p += PANELS_AT_ONCE) {
        float *sums[] = {b->panels[p].sums + row, b->panels[(p + 1) % 2].sums + row};
        WITH_ROWS(rows, add_floats, values, end - from, weights + p, sums)
      }
    }
  }
}

#endif
