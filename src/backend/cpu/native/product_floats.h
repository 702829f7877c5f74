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

// A line of 64 bytes is 16 rows of 4 bytes, with 1, 2, 4 or 8 columns: one of them of some rows, in f32.
INLINE floats widened(bits v, word format, int column, floats scale) {
  switch (format) {
    case PANEL_F32: return (floats)v;
    case PANEL_BF16: return (floats)(column == 0 ? v << 16 : v & 0xffff0000u);
    case PANEL_INT8: return __builtin_convertvector((ints)(v << (24 - 8 * column)) >> 24, floats);
    default: return nibbles(v >> (8 * (column % 4) + 4 * (column / 4))) * scale;
  }
}

INLINE int columns_of_line(word format) {
  return format == PANEL_F32 ? 1 : format == PANEL_BF16 ? 2 : format == PANEL_INT8 ? 4 : 8;
}

INLINE floats scales_of(word format, const uint16_t *scales) {
  float wide[LANES] = {0};
  if (format == PANEL_INT4) for (int i = 0; i < LANES; i++) wide[i] = from_bf16(scales[i]);
  return load_floats(wide);
}

INLINE void widen_line(const uint8_t *line, word format, const uint16_t *scales, float *to) {
  UNROLL
  for (int part = 0; part < PARTS; part++) {
    bits v = load_bits(line + part * LANES * 4);
    floats scale = scales_of(format, scales + part * LANES);
    UNROLL
    for (int c = 0; c < columns_of_line(format); c++) {
      store_floats(to + part * LANES + c * PANEL_ROWS, widened(v, format, c, scale));
    }
  }
}

INLINE const float *widen_panel(const word format, const panel *panel, word block_from, word from, word end, float *to) {
  word columns_a_line = columns_of_line(format);
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

#if defined(__wasm__)
// One row, where the weights' memory would wait for the way through scratch: they are widened in registers, and added in
// the same order.
INLINE void add_row(const word format, const panel *panel, word from, word end, const float *x) {
  const word step = columns_of_line(format);
  const uint16_t *scales = (const uint16_t *)(const void *)panel->scales + from / INT4_GROUP * PANEL_ROWS;
  floats acc[PARTS], scale[PARTS];
  UNROLL
  for (int part = 0; part < PARTS; part++) {
    acc[part] = load_floats(panel->sums + part * LANES);
    scale[part] = (floats){0};
  }
  const uint8_t *line = panel->values + from / step * 64;
  for (word c = from; c < end; c += step, line += 64, x += step) {
    if (format == PANEL_INT4 && c % INT4_GROUP == 0) {
      UNROLL
      for (int part = 0; part < PARTS; part++) scale[part] = scales_of(format, scales + part * LANES);
      scales += PANEL_ROWS;
    }
    UNROLL
    for (int i = 0; i < step; i++) {
      floats value = x[i] - (floats){0};
      UNROLL
      for (int part = 0; part < PARTS; part++) {
        floats weight = widened(load_bits(line + part * LANES * 4), format, i, scale[part]);
        acc[part] = multiply_add(value, weight, acc[part]);
      }
    }
  }
  UNROLL
  for (int part = 0; part < PARTS; part++) store_floats(panel->sums + part * LANES, acc[part]);
}

static void multiply_row(const block *b) {
  const float *x = (const float *)(const void *)group_at(b->x, b->first_group) + b->from;
  for (int p = 0; p < 2; p++) {
    switch (b->format) {
      case PANEL_F32: add_row(PANEL_F32, &b->panels[p], b->from, b->end, x); break;
      case PANEL_BF16: add_row(PANEL_BF16, &b->panels[p], b->from, b->end, x); break;
      case PANEL_INT8: add_row(PANEL_INT8, &b->panels[p], b->from, b->end, x); break;
      default: add_row(PANEL_INT4, &b->panels[p], b->from, b->end, x);
    }
  }
}
#endif

static void multiply_floats(const block *b) {
  const operand *x = b->x;
#if defined(__wasm__)
  if (b->groups == 1 && rows_in_group(x, b->first_group) == 1) {
    multiply_row(b);
    return;
  }
#endif
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
