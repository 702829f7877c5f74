// Products through the matrix tiles of AMX: 32 rows by two panels in four tiles of sums, fed by tiles of 1 KB.
//
// A tile of bf16 products adds, for each sum, its even and its odd columns as two chains from zero, and then both to the
// sum. No other unit adds in that order, so all products of bf16 weights go through here, also those of a single row.
#ifndef INTERNVL_PRODUCT_TILES_H
#define INTERNVL_PRODUCT_TILES_H

#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
#include <immintrin.h>

#include "product.h"

// What was written to memory is there: gcc does not know that tile instructions read more than they name.
#define SETTLE(address) __asm__ volatile("" : : "r"(address) : "memory")

// Tiles 0 and 1 are sums of the first `rows0` rows, 2 and 3 of the next `rows1`; 4 and 5 are those rows, 6 and 7 weights.
// Fewer rows than 16 take less time.
static void shape_tiles(int *shape, int rows0, int rows1) {
  if (*shape == rows0 * 32 + rows1) return;
  *shape = rows0 * 32 + rows1;
  struct { uint8_t palette, start, reserved[14]; uint16_t line_bytes[16]; uint8_t lines[16]; } wanted = {.palette = 1};
  const int lines[] = {rows0, rows0, rows1, rows1, rows0, rows1, 16, 16};
  for (int i = 0; i < 8; i++) {
    wanted.lines[i] = (uint8_t)lines[i];
    wanted.line_bytes[i] = lines[i] > 0 ? 64 : 0;
  }
  SETTLE(&wanted);
  _tile_loadconfig(&wanted);
}
static void end_tiles(const int *shape) {
  if (*shape) _tile_release();
}

// What comes next is fetched a few lines at a time, spread over all of a block's products: `slice` of `slices`.
INLINE void fetch_slice(const block *b, word step, word slice, word slices) {
  for (word line = slice * 16 / slices; line < (slice + 1) * 16 / slices; line++) {
    word at = step * 1024 + line * 64;
    fetch(b->panels[0].next + at);
    fetch(b->panels[1].next + at);
    if (!b->next_rows[0]) continue;
    fetch(b->next_rows[0] + at);
    fetch(b->next_rows[1] + at);
  }
}

// `count` times two tiles of weights with one or two tiles of rows.
#define ADD_TILES(product, two)                                                     \
  for (word i = 0; i < steps; i++) {                                                \
    _tile_loadd(4, x0 + i * rows0 * 64, 64);                                        \
    _tile_loadd(6, w[0] + i * 1024, 64);                                            \
    product(0, 4, 6);                                                               \
    if (two) {                                                                      \
      _tile_loadd(5, x1 + i * rows1 * 64, 64);                                      \
      product(2, 5, 6);                                                             \
    }                                                                               \
    _tile_loadd(7, w[1] + i * 1024, 64);                                            \
    product(1, 4, 7);                                                               \
    if (two) product(3, 5, 7);                                                      \
    fetch_slice(b, i, g / 2, (b->groups + 1) / 2);                                  \
  }

// Integer tiles of one span, added to the sums with each row's scale.
static void add_scaled(const int32_t *tiles, const float *scales, word rows, float *sums) {
  for (word r = 0; r < rows; r++) {
    __m512 sum = _mm512_loadu_ps(sums + r * 16), part = _mm512_cvtepi32_ps(_mm512_loadu_si512(tiles + r * 16));
    _mm512_storeu_ps(sums + r * 16, _mm512_fmadd_ps(part, _mm512_set1_ps(scales[r]), sum));
  }
}

static void multiply_tiles(const block *b) {
  const operand *x = b->x;
  word bytes = bytes_per_column(x->way), steps = (b->end - b->from) * bytes / 64, at = b->from * bytes / 64;
  const uint8_t *w[] = {b->panels[0].values + at * 1024, b->panels[1].values + at * 1024};
  for (word g = 0; g < b->groups; g += 2) {
    word group = b->first_group + g, rows0 = rows_in_group(x, group), rows1 = g + 1 < b->groups ? rows_in_group(x, group + 1) : 0;
    const uint8_t *x0 = group_at(x, group) + at * rows0 * 64, *x1 = group_at(x, group + 1) + at * rows1 * 64;
    float *sum0 = b->panels[0].sums + g * 256, *sum1 = b->panels[1].sums + g * 256;
    shape_tiles(b->tile_shape, (int)rows0, (int)rows1);
    SETTLE(sum0);
    if (x->way == BF16_TILES) {
      _tile_loadd(0, sum0, 64);
      _tile_loadd(1, sum1, 64);
      if (rows1 == 0) {
        ADD_TILES(_tile_dpbf16ps, false)
      } else {
        _tile_loadd(2, sum0 + 256, 64);
        _tile_loadd(3, sum1 + 256, 64);
        ADD_TILES(_tile_dpbf16ps, true)
        _tile_stored(2, sum0 + 256, 64);
        _tile_stored(3, sum1 + 256, 64);
      }
      _tile_stored(0, sum0, 64);
      _tile_stored(1, sum1, 64);
      continue;
    }
    int32_t *tiles = (int32_t *)(void *)b->scratch;
    const float *scales = x->scales + span_at(x, group, b->from / INT8_SPAN);
    _tile_zero(0);
    _tile_zero(1);
    if (rows1 == 0) {
      ADD_TILES(_tile_dpbssd, false)
    } else {
      _tile_zero(2);
      _tile_zero(3);
      ADD_TILES(_tile_dpbssd, true)
      _tile_stored(2, tiles + 512, 64);
      _tile_stored(3, tiles + 768, 64);
    }
    _tile_stored(0, tiles, 64);
    _tile_stored(1, tiles + 256, 64);
    add_scaled(tiles, scales, rows0, sum0);
    add_scaled(tiles + 256, scales, rows0, sum1);
    if (rows1 == 0) continue;
    scales = x->scales + span_at(x, group + 1, b->from / INT8_SPAN);
    add_scaled(tiles + 512, scales, rows1, sum0 + 256);
    add_scaled(tiles + 768, scales, rows1, sum1 + 256);
  }
}
#else
static inline void end_tiles(const int *shape) { (void)shape; }
#endif

#endif
