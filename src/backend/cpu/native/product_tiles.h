// Products through the matrix tiles of AMX: 32 rows by two panels in four tiles of sums, fed by tiles of 1 KB.
//
// A tile of bf16 products adds, for each sum, its even and its odd columns as two chains from zero, and then both to the
// sum. No other unit adds in that order, so all products of bf16 weights go through here, also those of a single row.
// Integer sums are exact: a single row of int4 weights takes another way to the same bits.
#ifndef INTERNVL_PRODUCT_TILES_H
#define INTERNVL_PRODUCT_TILES_H

#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
#include <immintrin.h>

#include "product.h"
#include "tile_operand.h"

// What was written to memory is there: gcc does not know that tile instructions read more than they name.
#define SETTLE(address) __asm__ volatile("" : : "r"(address) : "memory")

// Tiles 0 and 1 are sums of the first `rows0` rows, 2 and 3 of the next `rows1`; 4 and 5 are those rows, 6 and 7 weights.
// Fewer rows than 16 take less time. `bytes` of a row: 64, or 32 that end with a scale.
static void shape_tiles(int *shape, int rows0, int rows1, int bytes) {
  const int key = (bytes * 32 + rows0) * 32 + rows1;
  if (*shape == key) return;
  *shape = key;
  struct { uint8_t palette, start, reserved[14]; uint16_t line_bytes[16]; uint8_t lines[16]; } wanted = {.palette = 1};
  const int lines[] = {rows0, rows0, rows1, rows1, rows0, rows1, bytes / 4, bytes / 4};
  for (int i = 0; i < 8; i++) {
    wanted.lines[i] = (uint8_t)lines[i];
    wanted.line_bytes[i] = lines[i] == 0 ? 0 : i == 4 || i == 5 ? (uint16_t)bytes : 64;
  }
  SETTLE(&wanted);
  _tile_loadconfig(&wanted);
}
static void end_tiles(const int *shape) {
  if (*shape) _tile_release();
}

// Bytes wanted soon, two panels and perhaps two groups of rows: a few lines of each are fetched at every step of a product,
// so that its `slices` groups of rows together fetch all.
typedef struct {
  const uint8_t *at[4];
  word count, lines;
} fetches;

static fetches slice_of(const block *b, word bytes, word steps, word slice, word slices) {
  word lines = (bytes / 64 + steps * slices - 1) / (steps * slices), at = slice * steps * lines * 64;
  fetches f = {.count = b->next_rows[0] ? 4 : 2, .lines = at < bytes ? lines : 0};
  for (int i = 0; i < 2; i++) f.at[i] = b->panels[i].next + at, f.at[2 + i] = b->next_rows[i] + at;
  return f;
}
INLINE void fetch_step(const fetches *f, word step) {
  for (word l = step * f->lines; l < (step + 1) * f->lines; l++) {
    for (word i = 0; i < f->count; i++) fetch(f->at[i] + l * 64);
  }
}

// Integer sums of up to 32 rows and two panels, [panel][row][16], that are still to be added to the sums in f32.
typedef struct {
  const int32_t *parts;
  float *sums[2];
  const float *scales[2];  // of each 16 rows
  word rows;
} unscaled;

INLINE void add_scaled(const unscaled *of, word from, word end) {
  for (word r = from; r < end && r < of->rows; r++) {
    __m512 scale = _mm512_set1_ps(of->scales[r >> 4][r & 15]);
    UNROLL
    for (int p = 0; p < 2; p++) {
      float *sums = of->sums[p] + r * 16;
      __m512 part = _mm512_cvtepi32_ps(_mm512_loadu_si512(of->parts + p * 512 + r * 16));
      _mm512_storeu_ps(sums, _mm512_fmadd_ps(part, scale, _mm512_loadu_ps(sums)));
    }
  }
}

// Weights are to stay in the first cache, rows only pass through it.
#define LOAD_ROWS(tile, from) _tile_stream_loadd(tile, from, 64)
#define LOAD_WEIGHTS(tile, from) _tile_loadd(tile, from, 64)

// Sums that are wanted next, into the first cache: some of [0, 32) lines of either panel.
INLINE void fetch_sums(const float *sum0, const float *sum1, word from, word end) {
  for (word l = from; l < end; l++) {
    __builtin_prefetch(sum0 + l * 16, 1, 3);
    __builtin_prefetch(sum1 + l * 16, 1, 3);
  }
}

// `steps` times two tiles of weights with two tiles of rows, or one; other work is done at every step.
#define ADD_TILES(product, other_work)   \
  if (rows1 > 0) {                       \
    for (word i = 0; i < steps; i++) {   \
      LOAD_ROWS(4, x0 + i * rows0 * 64); \
      LOAD_WEIGHTS(6, w0 + i * 1024);    \
      LOAD_ROWS(5, x1 + i * rows1 * 64); \
      LOAD_WEIGHTS(7, w1 + i * 1024);    \
      product(0, 4, 6);                  \
      product(2, 5, 6);                  \
      product(1, 4, 7);                  \
      product(3, 5, 7);                  \
      fetch_step(&next, i);              \
      other_work;                        \
    }                                    \
  } else {                               \
    for (word i = 0; i < steps; i++) {   \
      LOAD_ROWS(4, x0 + i * rows0 * 64); \
      LOAD_WEIGHTS(6, w0 + i * 1024);    \
      LOAD_WEIGHTS(7, w1 + i * 1024);    \
      product(0, 4, 6);                  \
      product(1, 4, 7);                  \
      fetch_step(&next, i);              \
      other_work;                        \
    }                                    \
  }

static __attribute__((noinline)) void multiply_bf16_tiles(const block *b) {
  const operand *x = b->x;
  word steps = (b->end - b->from) / 32, at = b->from / 32, slices = (b->groups + 1) / 2;
  word share = slices > 1 ? (32 + steps - 1) / steps : 0, panel_sums = b->panels[1].sums - b->panels[0].sums;
  const uint8_t *w0 = b->panels[0].values + at * 1024, *w1 = b->panels[1].values + at * 1024;
  for (word g = 0; g < b->groups; g += 2) {
    word group = b->first_group + g, rows0 = rows_in_group(x, group), rows1 = g + 1 < b->groups ? rows_in_group(x, group + 1) : 0;
    const uint8_t *x0 = tiles_at(x, group, b->from), *x1 = tiles_at(x, group + 1, b->from);
    const fetches next = slice_of(b, steps * 1024, steps, g / 2, slices);
    float *sum0 = b->panels[0].sums + g * 256, *sum1 = sum0 + panel_sums;
    const float *soon = g + 2 < b->groups ? sum0 + 512 : b->panels[0].sums + 2 * panel_sums;
    shape_tiles(b->tile_shape, (int)rows0, (int)rows1, 64);
    if (b->from == 0) {
      _tile_zero(0);
      _tile_zero(1);
      if (rows1 > 0) {
        _tile_zero(2);
        _tile_zero(3);
      }
    } else {
      _tile_loadd(0, sum0, 64);
      _tile_loadd(1, sum1, 64);
      if (rows1 > 0) {
        _tile_loadd(2, sum0 + 256, 64);
        _tile_loadd(3, sum1 + 256, 64);
      }
    }
    ADD_TILES(_tile_dpbf16ps, fetch_sums(soon, soon + panel_sums, i * share, (i + 1) * share))
    _tile_stored(0, sum0, 64);
    if (rows1 > 0) _tile_stored(2, sum0 + 256, 64);
    _tile_stored(1, sum1, 64);
    if (rows1 > 0) _tile_stored(3, sum1 + 256, 64);
  }
}

// One span of int8.
static __attribute__((noinline)) void multiply_int8_tiles(const block *b) {
  const operand *x = b->x;
  unscaled before = {.rows = 0};
  word steps = (b->end - b->from) / 64, at = b->from / 64, share = (32 + steps - 1) / steps, slices = (b->groups + 1) / 2;
  const uint8_t *w0 = b->panels[0].values + at * 1024, *w1 = b->panels[1].values + at * 1024;
  for (word g = 0; g < b->groups; g += 2) {
    word group = b->first_group + g, rows0 = rows_in_group(x, group), rows1 = g + 1 < b->groups ? rows_in_group(x, group + 1) : 0;
    const uint8_t *x0 = tiles_at(x, group, b->from), *x1 = tiles_at(x, group + 1, b->from);
    const fetches next = slice_of(b, steps * 1024, steps, g / 2, slices);
    int32_t *parts = (int32_t *)(void *)b->scratch + g / 2 % 2 * 1024;
    shape_tiles(b->tile_shape, (int)rows0, (int)rows1, 64);
    _tile_zero(0);
    _tile_zero(1);
    if (rows1 > 0) {
      _tile_zero(2);
      _tile_zero(3);
    }
    ADD_TILES(_tile_dpbssd, add_scaled(&before, i * share, (i + 1) * share))
    _tile_stored(0, parts, 64);
    if (rows1 > 0) _tile_stored(2, parts + 256, 64);
    _tile_stored(1, parts + 512, 64);
    if (rows1 > 0) _tile_stored(3, parts + 768, 64);
    before = (unscaled){
        .parts = parts, .rows = rows0 + rows1,
        .sums = {b->panels[0].sums + g * 256, b->panels[1].sums + g * 256},
        .scales = {x->scales + span_at(x, group, b->from / INT8_SPAN), x->scales + span_at(x, group + 1, b->from / INT8_SPAN)},
    };
  }
  add_scaled(&before, 0, before.rows);
}

// Groups of 32 columns from nibbles to int8 of half a tile.
static void unpack_nibbles(const uint8_t *from, word groups, uint8_t *to) {
  const __m512i low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
  for (word i = 0; i < groups * 4; i++) {
    __m512i line = _mm512_loadu_si512(from + i * 64);
    _mm512_storeu_si512(to + i * 128, _mm512_sub_epi8(_mm512_and_si512(line, low), eight));
    _mm512_storeu_si512(to + i * 128 + 64, _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(line, 4), low), eight));
  }
}

// Two groups of columns, in integers: `parts` is [group][row][16].
#define MULTIPLY_TWO(x, w, parts, sum0, sum1) \
  _tile_zero(sum0);                           \
  _tile_zero(sum1);                           \
  _tile_loadd(4, x, 64);                      \
  _tile_loadd(6, w, 64);                      \
  _tile_loadd(5, (x) + 32, 64);               \
  _tile_loadd(7, (w) + 512, 64);              \
  _tile_dpbssd(sum0, 4, 6);                   \
  _tile_dpbssd(sum1, 5, 7);                   \
  _tile_stored(sum0, parts, 64);              \
  _tile_stored(sum1, (parts) + 256, 64);

// Their sums in f32, with the scales of weights and rows, as add_int4 of product_dots.h has them.
INLINE void scale_two(const int rows, const int32_t *parts, const uint8_t *weight_scales, const float *scales,
                      __m512 *total) {
  UNROLL
  for (int i = 0; i < 2; i++) {
    __m512i narrow = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(weight_scales + i * 32)));
    __m512 weight_scale = _mm512_castsi512_ps(_mm512_slli_epi32(narrow, 16));
    UNROLL
    for (int r = 0; r < rows; r++) {
      __m512 scale = _mm512_mul_ps(weight_scale, _mm512_set1_ps(scales[i * rows + r]));
      total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(parts + i * 256 + r * 16)), scale, total[r]);
    }
  }
}

#define PARTS_AT_ONCE 4
#define AHEAD 2

// `rows` times one panel, [row][16] of sums. Tiles run ahead of the scaling.
INLINE void add_int4_tiles(const int rows, const uint8_t *x, const float *scales, const uint8_t *w, const uint8_t *weight_scales,
                           word twos, int32_t *parts, float *sums) {
  __m512 total[16];
  UNROLL
  for (int r = 0; r < 16; r++) total[r] = r < rows ? _mm512_loadu_ps(sums + r * 16) : _mm512_setzero_ps();
  for (word i = 0; i < twos + AHEAD; i++) {
    int32_t *to = parts + i % PARTS_AT_ONCE * 512;
    if (i < twos && i % 2 == 0) {
      MULTIPLY_TWO(x + i * rows * 64, w + i * 1024, to, 0, 1)
    } else if (i < twos) {
      MULTIPLY_TWO(x + i * rows * 64, w + i * 1024, to, 2, 3)
    }
    if (i < AHEAD) continue;
    word done = i - AHEAD;
    scale_two(rows, parts + done % PARTS_AT_ONCE * 512, weight_scales + done * 64, scales + done * 2 * rows, total);
  }
  UNROLL
  for (int r = 0; r < rows; r++) _mm512_storeu_ps(sums + r * 16, total[r]);
}

static __attribute__((noinline)) void multiply_int4_tiles(const block *b) {
  const operand *x = b->x;
  word columns = b->end - b->from, groups = columns / INT4_GROUP;
  uint8_t *unpacked = (uint8_t *)b->scratch;
  int32_t *parts = (int32_t *)(void *)(unpacked + 2 * INT8_SPAN * PANEL_ROWS);
  for (int p = 0; p < 2; p++) {
    unpack_nibbles(b->panels[p].values + b->from * 8, groups, unpacked + p * INT8_SPAN * PANEL_ROWS);
  }
  SETTLE(unpacked);
  for (word g = 0; g < b->groups; g++) {
    word group = b->first_group + g, rows = rows_in_group(x, group);
    const uint8_t *values = tiles_at(x, group, b->from);
    const float *scales = x->scales + span_at(x, group, b->from / INT4_GROUP);
    shape_tiles(b->tile_shape, (int)rows, (int)rows, 32);
    const fetches next = slice_of(b, columns * 8, 1, g, b->groups);
    fetch_step(&next, 0);
    for (int p = 0; p < 2; p++) {
      const uint8_t *w = unpacked + p * INT8_SPAN * PANEL_ROWS, *weight_scales = b->panels[p].scales + b->from / INT4_GROUP * 32;
      float *sums = b->panels[p].sums + g * 256;
      if (rows == 16) add_int4_tiles(16, values, scales, w, weight_scales, groups / 2, parts, sums);
      else add_int4_tiles((int)rows, values, scales, w, weight_scales, groups / 2, parts, sums);
    }
  }
}

static void multiply_tiles(const block *b) {
  switch (b->x->way) {
    case BF16_TILES: multiply_bf16_tiles(b); break;
    case INT8_TILES: multiply_int8_tiles(b); break;
    default: multiply_int4_tiles(b);
  }
}
#else
static inline void end_tiles(const int *shape) { (void)shape; }
#endif

#endif
