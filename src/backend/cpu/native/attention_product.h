// Small matrix products of attention: C [rows, columns] = A [rows, depth] · B, with B in panels of 16 columns. Both of
// its products have this form: scores = queries · keysᵀ (a panel is 16 keys) and sums = weights · values (a panel is 16
// columns of the head).
//
// A element of C is one running sum over the depth, in order, whatever else is worked out beside it: a row's result does
// not depend on how many rows, panels or parts a call has.
#ifndef INTERNVL_ATTENTION_PRODUCT_H
#define INTERNVL_ATTENTION_PRODUCT_H

#include "program.h"
#include "vector_math.h"

// FLOATS          A f32 [row][depth], a panel of B f32 [depth][16]
// PAIRS_AS_FLOATS A f32 [row][depth], a panel of B bf16 [depth / 2][16][2], widened as it is read
// PAIRS           A bf16 [row][depth], B the same, by bf16 dot products
// TILES           the same operands, by matrix tiles; depths are multiples of 32
typedef enum { FLOATS, PAIRS_AS_FLOATS, PAIRS, TILES } operands;

// A run of depth of all panels: panel p of it stands at `at + p * stride` bytes.
typedef struct { const uint8_t *at; word stride; } part;

typedef struct {
  const void *a;
  word a_stride;      // elements between rows of A
  const part *parts;
  word count, depth;  // parts, and the depth of each
  word panels;
  float *c;
  word c_stride;
} product;

#define PIECES (16 / LANES)

// A block of C is kept in registers: so many rows by so many panels.
#if LANES == 16
#define BLOCK_ROWS 8
#define BLOCK_PANELS 2
#elif LANES == 8
#define BLOCK_ROWS 6
#define BLOCK_PANELS 1
#elif defined(__aarch64__)
#define BLOCK_ROWS 6
#define BLOCK_PANELS 1
#else
#define BLOCK_ROWS 3
#define BLOCK_PANELS 1
#endif

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE void multiply_block(operands kind, int rows, int panels, const product *o, word row, word panel) {
  lanes_f32 sums[BLOCK_ROWS][BLOCK_PANELS * PIECES];
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int p = 0; p < panels * PIECES; p++) sums[r][p] = splat(0);
  }
  const word element = kind == PAIRS ? 2 : 4, a_stride = o->a_stride * element;
  const uint8_t *a = (const uint8_t *)o->a + row * a_stride;
  for (word s = 0; s < o->count; s++) {
    const uint8_t *b = o->parts[s].at + panel * o->parts[s].stride;
    const word stride = o->parts[s].stride;
    if (kind == FLOATS) {
      for (word k = 0; k < o->depth; k++, a += 4, b += 64) {
        lanes_f32 right[BLOCK_PANELS * PIECES];
        UNROLL for (int p = 0; p < panels * PIECES; p++) {
          right[p] = load_lanes((const float *)(b + p / PIECES * stride) + p % PIECES * LANES);
        }
        UNROLL for (int r = 0; r < rows; r++) {
          lanes_f32 left = splat(*(const float *)(a + r * a_stride));
          UNROLL for (int p = 0; p < panels * PIECES; p++) sums[r][p] = times_plus(left, right[p], sums[r][p]);
        }
      }
    } else if (kind == PAIRS_AS_FLOATS) {
      for (word k = 0; k < o->depth; k += 2, a += 8, b += 64) {
        lanes_f32 even[BLOCK_PANELS * PIECES], odd[BLOCK_PANELS * PIECES];
        UNROLL for (int p = 0; p < panels * PIECES; p++) {
          lanes_u32 pair = (lanes_u32)load_lanes((const float *)(b + p / PIECES * stride) + p % PIECES * LANES);
          even[p] = (lanes_f32)(pair << 16);
          odd[p] = (lanes_f32)(pair & 0xffff0000u);
        }
        UNROLL for (int r = 0; r < rows; r++) {
          const float *pair = (const float *)(a + r * a_stride);
          lanes_f32 first = splat(pair[0]), second = splat(pair[1]);
          UNROLL for (int p = 0; p < panels * PIECES; p++) sums[r][p] = times_plus(first, even[p], sums[r][p]);
          UNROLL for (int p = 0; p < panels * PIECES; p++) sums[r][p] = times_plus(second, odd[p], sums[r][p]);
        }
      }
    }
#if defined(__AVX512BF16__)
    else {
      for (word k = 0; k < o->depth; k += 2, a += 4, b += 64) {
        __m512i right[BLOCK_PANELS];
        UNROLL for (int p = 0; p < panels; p++) right[p] = _mm512_loadu_si512(b + p * stride);
        UNROLL for (int r = 0; r < rows; r++) {
          int pair;
          memcpy(&pair, a + r * a_stride, sizeof pair);
          __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
          UNROLL for (int p = 0; p < panels; p++) {
            sums[r][p] = (lanes_f32)_mm512_dpbf16_ps((__m512)sums[r][p], left, (__m512bh)right[p]);
          }
        }
      }
    }
#endif
  }
  UNROLL for (int r = 0; r < rows; r++) {
    float *c = o->c + (row + r) * o->c_stride + panel * 16;
    UNROLL for (int p = 0; p < panels * PIECES; p++) store_lanes(c + p * LANES, sums[r][p]);
  }
}

#define ROWS_CASE(n) \
  case n: multiply_block(kind, n, panels, o, row, panel); return;

// 1 to BLOCK_ROWS rows from `row` on, by `panels` panels from `panel` on.
INLINE void multiply_rows(operands kind, word rows, int panels, const product *o, word row, word panel) {
  switch (rows) {
    ROWS_CASE(1) ROWS_CASE(2)
#if BLOCK_ROWS > 3
    ROWS_CASE(4) ROWS_CASE(5)
#endif
#if BLOCK_ROWS > 6
    ROWS_CASE(6) ROWS_CASE(7)
    ROWS_CASE(3)
    default: multiply_block(kind, 8, panels, o, row, panel); return;
#elif BLOCK_ROWS > 3
    ROWS_CASE(3)
    default: multiply_block(kind, 6, panels, o, row, panel); return;
#else
    default: multiply_block(kind, 3, panels, o, row, panel); return;
#endif
  }
}

INLINE void multiply_as(operands kind, word rows, const product *o) {
  word panel = 0;
  for (; panel + BLOCK_PANELS <= o->panels; panel += BLOCK_PANELS) {
    for (word row = 0; row < rows; row += BLOCK_ROWS) {
      word left = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
      multiply_rows(kind, left, BLOCK_PANELS, o, row, panel);
    }
  }
  for (; panel < o->panels; panel++) {
    for (word row = 0; row < rows; row += BLOCK_ROWS) {
      word left = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
      multiply_rows(kind, left, 1, o, row, panel);
    }
  }
}

#if defined(__AMX_BF16__)
// Tiles 0 to 3 are C (2 by 2), 4 and 5 are A (two blocks of 16 rows by 32 bf16), 6 and 7 are B (16 pairs by 16 columns).
typedef struct { uint8_t palette, start_row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } tile_shapes;

static void begin_tiles(void) {
  tile_shapes shapes __attribute__((aligned(64))) = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) shapes.bytes[tile] = 64, shapes.rows[tile] = 16;
  _tile_loadconfig(&shapes);
}

static void end_tiles(void) { _tile_release(); }

// A and C have 16 rows for each 16 that are begun: what stands in the rest is not a number's source for other rows.
static void multiply_tiles(word rows, const product *o) {
  const word a_stride = o->a_stride * 2, c_stride = o->c_stride * 4;
  for (word panel = 0; panel < o->panels; panel += 2) {
    const bool wide = panel + 1 < o->panels;
    for (word row = 0; row < rows; row += 32) {
      const bool tall = row + 16 < rows;
      const uint8_t *a = (const uint8_t *)o->a + row * a_stride;
      float *c = o->c + row * o->c_stride + panel * 16;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (word s = 0; s < o->count; s++) {
        const uint8_t *b = o->parts[s].at + panel * o->parts[s].stride;
        for (word k = 0; k < o->depth; k += 32, a += 64, b += 1024) {
          _tile_loadd(6, b, 64);
          _tile_loadd(4, a, a_stride);
          _tile_dpbf16ps(0, 4, 6);
          if (tall) {
            _tile_loadd(5, a + 16 * a_stride, a_stride);
            _tile_dpbf16ps(2, 5, 6);
          }
          if (wide) {
            _tile_loadd(7, b + o->parts[s].stride, 64);
            _tile_dpbf16ps(1, 4, 7);
            if (tall) _tile_dpbf16ps(3, 5, 7);
          }
        }
      }
      _tile_stored(0, c, c_stride);
      if (wide) _tile_stored(1, c + 16, c_stride);
      if (tall) {
        _tile_stored(2, c + 16 * o->c_stride, c_stride);
        if (wide) _tile_stored(3, c + 16 * o->c_stride + 16, c_stride);
      }
    }
  }
}
#else
static inline void begin_tiles(void) {}
static inline void end_tiles(void) {}
#endif

static __attribute__((noinline)) void multiply_floats(word rows, const product *o) { multiply_as(FLOATS, rows, o); }
#if !defined(__AVX512BF16__)
static __attribute__((noinline)) void multiply_widened(word rows, const product *o) {
  multiply_as(PAIRS_AS_FLOATS, rows, o);
}
#else
static __attribute__((noinline)) void multiply_pairs(word rows, const product *o) { multiply_as(PAIRS, rows, o); }
#endif

static void multiply(operands kind, word rows, const product *o) {
#if defined(__AMX_BF16__)
  if (kind == TILES) {
    multiply_tiles(rows, o);
    return;
  }
#endif
  if (kind == FLOATS) multiply_floats(rows, o);
#if defined(__AVX512BF16__)
  else multiply_pairs(rows, o);
#else
  else multiply_widened(rows, o);
#endif
}

#endif
