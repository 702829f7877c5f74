// The left operand of a product, converted once into the form its kernel reads. Rows are taken ROW_STEP (tiles: 16) at a
// time; the last group may be smaller. Columns are padded with zeros like the weight's.
//
// FLOATS, BF16_PAIRS, INT8_QUADS, INT4_QUADS: [group][column / 1, 2, 4, 4][row of the group] words of 4 bytes, each with
// 1 f32, 2 bf16 or 4 int8: a kernel reads its rows' words one after another.
// INT8_HALVES, INT4_HALVES: likewise, [group][column / 2][row of the group] words of two int16, whose order and factors are
// those in which product_integers.h meets the columns.
// BF16_TILES, INT8_TILES, INT4_TILES: see tile_operand.h.
//
// int8 is symmetric with a scale for each row and `span` columns: 512 beside int8 weights, where integer sums stay far
// from overflow and one outlier spoils at most its 512 columns; 32 beside int4, the group of its weights.
#ifndef INTERNVL_OPERAND_H
#define INTERNVL_OPERAND_H

#include "pack.h"
#include "program.h"
#include "simd.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

typedef enum { FLOATS, BF16_PAIRS, INT8_QUADS, INT4_QUADS, INT8_HALVES, INT4_HALVES, BF16_TILES, INT8_TILES, INT4_TILES } way;

#define INT8_SPAN 512

#if defined(__AVX512F__)
#define ROW_STEP 12
#elif defined(__AVX__) || defined(__aarch64__)
#define ROW_STEP 6
#else
#define ROW_STEP 2
#endif

typedef struct {
  way way;
  bool round;  // FLOATS: to the nearest bf16
  word rows, columns, step, spans;
  uint8_t *values;
  float *scales;  // [group][span][row of the group]
  int32_t *sums;  // likewise: what excess_of says, negated
} operand;

static inline bool tiled(way way) { return way >= BF16_TILES; }
static inline bool halves(way way) { return way == INT8_HALVES || way == INT4_HALVES; }
static inline bool nibbled(way way) { return way == INT4_QUADS || way == INT4_HALVES; }
static inline word bytes_per_column(way way) {
  return way == FLOATS ? 4 : way == BF16_PAIRS || way == BF16_TILES || halves(way) ? 2 : 1;
}
static inline word span_of(way way) {
  if (nibbled(way) || way == INT4_TILES) return INT4_GROUP;
  return way == INT8_QUADS || way == INT8_TILES || way == INT8_HALVES ? INT8_SPAN : 0;
}
// What a kernel's integer sums have too much for each int8 value of the row: its weights are q + 128 or q + 8, and INT4_HALVES
// counts in 256ths.
static inline int excess_of(way way) {
  return way == INT4_QUADS ? 8 : way == INT4_HALVES ? 8 * 256 : way == INT8_HALVES ? 0 : 128;
}
// Bytes of a row in a block of tiles: such a block of two panels of weights stays in the first cache while rows stream past.
static inline word tile_block(way way) { return way == BF16_TILES ? 1024 : 512; }
static inline word aligned(word bytes) { return (bytes + 63) / 64 * 64; }

// Lays an operand out in memory from `at`, and says how many bytes it takes.
static inline word place_operand(operand *x, uint8_t *at, const tensor *input, way way, bool round) {
  word columns = padded_columns(input->columns), span = span_of(way);
  *x = (operand){.way = way, .round = round, .rows = input->rows, .columns = columns, .step = tiled(way) ? 16 : ROW_STEP};
  x->spans = span ? (columns + span - 1) / span : 0;
  word values = aligned(x->rows * columns * bytes_per_column(way)), scales = aligned(x->rows * x->spans * 4);
  x->values = at;
  x->scales = (float *)(at + values);
  x->sums = (int32_t *)(at + values + scales);
  return values + 2 * scales;
}

// Rows of group g.
static inline word rows_in_group(const operand *x, word g) {
  word rest = x->rows - g * x->step;
  return rest < 0 ? 0 : rest < x->step ? rest : x->step;
}

static inline const uint8_t *group_at(const operand *x, word g) {
  return x->values + g * x->step * x->columns * bytes_per_column(x->way);
}

static inline word span_at(const operand *x, word g, word span) {
  return g * x->step * x->spans + span * rows_in_group(x, g);
}

typedef int8_t i8x16 __attribute__((vector_size(16)));

static inline f32x16 part_of_row(const float *row, word columns, word from) {
  word count = columns - from;
  if (count >= 16) return load16(row + from);
  f32x16 v = {0};
  if (count > 0) memcpy(&v, row + from, (size_t)count * sizeof(float));
  return v;
}

// The scale of a span of a row: the largest magnitude becomes 127. Not a number if one of the values is none.
static inline float span_scale(const float *row, word columns, word from, word end) {
  f32x16 most = {0}, strange = {0};
  for (word c = from; c < end; c += 16) {
    f32x16 v = part_of_row(row, columns, c), magnitude = (f32x16)((i32x16)v & 0x7fffffff);
    i32x16 larger = magnitude > most;
    most = (f32x16)(((i32x16)magnitude & larger) | ((i32x16)most & ~larger));
    strange += v * 0;
  }
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)most) / 127 + _mm512_reduce_add_ps((__m512)strange);
#else
  return max16(most) / 127 + sum16(strange);
#endif
}

// To the nearest whole numbers, ties to even.
static inline i32x16 whole16(f32x16 v, float inverse) { return (i32x16)(v * inverse + 0x1.8p23f) - 0x4b400000; }

// 16 columns as int8, and their sum.
static inline int quantise16(f32x16 v, float inverse, uint8_t *to) {
  i32x16 q = whole16(v, inverse);
  i8x16 bytes = __builtin_convertvector(q, i8x16);
  memcpy(to, &bytes, sizeof bytes);
#if defined(__wasm__)
  v128_t sums = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16((v128_t)bytes));
  sums = wasm_i32x4_add(sums, wasm_i32x4_shuffle(sums, sums, 2, 3, 0, 1));
  return wasm_i32x4_extract_lane(sums, 0) + wasm_i32x4_extract_lane(sums, 1);
#else
  int sum = 0;
  for (int i = 0; i < 16; i++) sum += bytes[i];
  return sum;
#endif
}

#if defined(__wasm__)
// 16 columns as int8, in the order and with the factors of product_integers.h, and the sum of the int8.
static inline int halve16(way way, f32x16 v, float inverse, uint8_t *to) {
  v128_t narrow;
  int sum = quantise16(v, inverse, (uint8_t *)&narrow);
  v128_t ordered = way == INT8_HALVES
      ? wasm_i8x16_shuffle(narrow, narrow, 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15)
      : wasm_i8x16_shuffle(narrow, narrow, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  v128_t factors = way == INT8_HALVES ? wasm_i16x8_const_splat(1) : wasm_i16x8_const(256, 256, 16, 16, 1, 1, 256, 256);
  wasm_v128_store(to, wasm_i16x8_mul(wasm_i16x8_extend_low_i8x16(ordered), factors));
  wasm_v128_store(to + 16, wasm_i16x8_mul(wasm_i16x8_extend_high_i8x16(ordered), factors));
  return sum;
}
#endif

// 32 columns of a row in their new form. The sum is that of the int8 values.
static inline int convert32(const operand *x, const float *row, word columns, word from, float inverse, uint8_t *to) {
  int sum = 0;
  for (word part = 0; part < 2; part++) {
    f32x16 v = part_of_row(row, columns, from + part * 16);
    switch (bytes_per_column(x->way)) {
      case 1: sum += quantise16(v, inverse, to + part * 16); break;
      case 2:
#if defined(__wasm__)
        sum += halve16(x->way, v, inverse, to + part * 32);
#else
        narrow16((uint16_t *)(void *)to + part * 16, v);
#endif
        break;
      default: {
        uint16_t narrow[16];
        narrow16(narrow, v);
        store16((float *)(void *)to + part * 16, x->round ? widen16(narrow) : v);
      }
    }
  }
  return sum;
}

// Where column c of the group's row r begins, and the copy of 32 columns to there.
static inline void place32(const operand *x, word g, word r, word c, const uint8_t *converted) {
  word bytes = bytes_per_column(x->way), rows = rows_in_group(x, g);
  uint8_t *group = x->values + g * x->step * x->columns * bytes;
  uint8_t *to = group + (c * bytes / 4 * rows + r) * 4;
  if (rows == 1) {
    for (word i = 0; i < 32 * bytes; i += 32) memcpy(to + i, converted + i, 32);
    return;
  }
  for (word i = 0; i < 8 * bytes; i++) memcpy(to + i * rows * 4, converted + i * 4, 4);
}

// Converts the rows of group g.
static inline void prepare_group(const operand *x, const tensor *input, word g) {
  word rows = rows_in_group(x, g), span = x->spans ? span_of(x->way) : x->columns;
  for (word r = 0; r < rows; r++) {
    const float *row = row_f32(input, g * x->step + r);
    for (word from = 0; from < x->columns; from += span) {
      word end = from + span < x->columns ? from + span : x->columns;
      float scale = x->spans ? span_scale(row, input->columns, from, end) : 0;
      float inverse = scale > 1e-30f ? 1 / scale : 0;
      int sum = 0;
      for (word c = from; c < end; c += 32) {
        _Alignas(64) uint8_t converted[128];
        sum += convert32(x, row, input->columns, c, inverse, converted);
        place32(x, g, r, c, converted);
      }
      if (!x->spans) continue;
      word at = span_at(x, g, from / span) + r;
      x->scales[at] = scale;
      x->sums[at] = -sum * excess_of(x->way);
    }
  }
}

#endif
