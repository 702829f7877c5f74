// What the kernels of products share. A kernel adds to the sums of some rows and of two panels the products over some
// columns; columns come in ascending order, and each sum is one chain of additions, so that a row's result depends
// neither on the other rows nor on how the columns were split.
#ifndef INTERNVL_PRODUCT_H
#define INTERNVL_PRODUCT_H

#include "operand.h"
#include "pack.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef struct {
  const uint8_t *values;  // of column 0
  const uint8_t *scales;
  const uint8_t *next;  // the bytes wanted after these: fetched line by line as these are read
  float *sums;          // [row][16 outputs]
} panel;

// Columns [from, end) of some groups of rows and two panels. from is a multiple of the operand's span, or of 64.
typedef struct {
  const operand *x;
  word format, first_group, groups, from, end;
  panel panels[2];
  const uint8_t *next_rows[2];  // tiles of two groups of rows that are wanted soon, or NULL
  float *scratch;   // of this lane: SCRATCH_FLOATS
  int *tile_shape;  // of this lane, 0 at first: see shape_tiles
} block;

#define FLOATS_AT_ONCE 128
#define SCRATCH_FLOATS (3 * FLOATS_AT_ONCE * PANEL_ROWS)

// Far enough ahead to hide memory's latency: into the second cache, the first is too small.
static inline void fetch(const uint8_t *line) { __builtin_prefetch(line, 0, 2); }

// Calls `function` with a constant number of rows, so that its sums live in registers.
#define WITH_ROWS(rows, function, ...) \
  switch (rows) {                      \
    ROW_CASE(1, function, __VA_ARGS__) \
    ROW_CASE(2, function, __VA_ARGS__) \
    MORE_ROWS(function, __VA_ARGS__)   \
  }
#define ROW_CASE(n, function, ...) \
  case n: function(n, __VA_ARGS__); break;
#if ROW_STEP == 12
#define MORE_ROWS(f, ...)                                                                                   \
  ROW_CASE(3, f, __VA_ARGS__) ROW_CASE(4, f, __VA_ARGS__) ROW_CASE(5, f, __VA_ARGS__)                       \
  ROW_CASE(6, f, __VA_ARGS__) ROW_CASE(7, f, __VA_ARGS__) ROW_CASE(8, f, __VA_ARGS__)                       \
  ROW_CASE(9, f, __VA_ARGS__) ROW_CASE(10, f, __VA_ARGS__) ROW_CASE(11, f, __VA_ARGS__) ROW_CASE(12, f, __VA_ARGS__)
#elif ROW_STEP == 6
#define MORE_ROWS(f, ...)                                                             \
  ROW_CASE(3, f, __VA_ARGS__) ROW_CASE(4, f, __VA_ARGS__) ROW_CASE(5, f, __VA_ARGS__) \
  ROW_CASE(6, f, __VA_ARGS__)
#else
#define MORE_ROWS(f, ...)
#endif

#endif
