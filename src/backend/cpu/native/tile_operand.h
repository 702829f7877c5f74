// The left operand of a product through matrix tiles, in place of the forms of operand.h:
//
// [block of columns][group of 16 rows][64 bytes of a row][row of the group] lines of 64 bytes: 16 of them are a tile of 1 KB.
// A block is tile_block bytes of each row, the last one may be smaller. What a kernel reads again and again, one block of
// many groups, lies side by side: at distances of a power of two, groups would push each other out of the caches.
#ifndef INTERNVL_TILE_OPERAND_H
#define INTERNVL_TILE_OPERAND_H

#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
#include <immintrin.h>

#include "operand.h"

// The tiles of group g from column c on: as many as are left of their block.
static inline uint8_t *tiles_at(const operand *x, word g, word c) {
  word bytes = bytes_per_column(x->way), at = c * bytes, block = tile_block(x->way), row = x->columns * bytes;
  word from = at & -block, width = row - from < block ? row - from : block;
  return x->values + from * x->rows + g * 16 * width + (at - from) / 64 * 64 * rows_in_group(x, g);
}

// Columns [from, end) of a row, of which the input has `columns`: lines `distance` bytes apart, scales `rows` apart.
static inline void convert_lines(const operand *x, const float *row, word columns, word from, word end, uint8_t *to,
                                 word distance, float *scales, word rows) {
  word span = span_of(x->way);
  float inverse = 0;
  for (word c = from; c < end; c += 32) {
    f32x16 a = part_of_row(row, columns, c), b = part_of_row(row, columns, c + 16);
    if (!span) {
      __m512bh both = _mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
      memcpy(to, &both, sizeof both);
      to += distance;
      continue;
    }
    if (c % span == 0) {
      float scale = span_scale(row, columns, c, c + span < end ? c + span : end);
      inverse = scale > 1e-30f ? 1 / scale : 0;
      *scales = scale;
      scales += rows;
    }
    __m128i first = _mm512_cvtepi32_epi8((__m512i)whole16(a, inverse)), second = _mm512_cvtepi32_epi8((__m512i)whole16(b, inverse));
    memcpy(to + c % 64, &first, sizeof first);
    memcpy(to + c % 64 + 16, &second, sizeof second);
    if (c % 64) to += distance;
  }
}

// Converts the rows of group g.
static inline void prepare_tiles(const operand *x, const tensor *input, word g) {
  word rows = rows_in_group(x, g), block = tile_block(x->way) / bytes_per_column(x->way);
  for (word r = 0; r < rows; r++) {
    const float *row = row_f32(input, g * 16 + r);
    for (word from = 0; from < x->columns; from += block) {
      word end = from + block < x->columns ? from + block : x->columns;
      float *scales = x->spans ? x->scales + span_at(x, g, from / span_of(x->way)) + r : NULL;
      convert_lines(x, row, input->columns, from, end, tiles_at(x, g, from) + r * 64, rows * 64, scales, rows);
    }
  }
}
#endif

#endif
