// Products through AVX-512's dot products of bf16 pairs and int8 quads, straight from the panels.
#ifndef INTERNVL_PRODUCT_DOTS_H
#define INTERNVL_PRODUCT_DOTS_H

#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
#include <immintrin.h>

#include "product.h"

INLINE __m512i line_of(const uint8_t *from) { return _mm512_loadu_si512((const void *)from); }
INLINE __m512i word_of(const uint32_t *from) { return _mm512_set1_epi32((int)*from); }

// Sums are f32 chains over pairs of columns.
INLINE void add_bf16(const int rows, const uint32_t *x, word lines, const uint8_t *const *w, const uint8_t *const *next,
                     float *const *sums) {
  __m512 acc[ROW_STEP][2];
  UNROLL
  for (int r = 0; r < rows; r++) {
    acc[r][0] = _mm512_loadu_ps(sums[0] + r * 16);
    acc[r][1] = _mm512_loadu_ps(sums[1] + r * 16);
  }
  for (word i = 0; i < lines; i++, x += rows) {
    __m512bh w0 = (__m512bh)line_of(w[0] + i * 64), w1 = (__m512bh)line_of(w[1] + i * 64);
    fetch(next[0] + i * 64);
    fetch(next[1] + i * 64);
    UNROLL
    for (int r = 0; r < rows; r++) {
      __m512bh value = (__m512bh)word_of(x + r);
      acc[r][0] = _mm512_dpbf16_ps(acc[r][0], w0, value);
      acc[r][1] = _mm512_dpbf16_ps(acc[r][1], w1, value);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) {
    _mm512_storeu_ps(sums[0] + r * 16, acc[r][0]);
    _mm512_storeu_ps(sums[1] + r * 16, acc[r][1]);
  }
}

// One span: exact integer sums of (q + 128) x - 128 x, then f32.
INLINE void add_int8(const int rows, const uint32_t *x, const float *scales, const int32_t *offsets, word lines,
                     const uint8_t *const *w, const uint8_t *const *next, float *const *sums) {
  const __m512i sign = _mm512_set1_epi8((char)0x80);
  i32x16 acc[ROW_STEP][2];  // not __m512i, whose 8 lanes gcc copies to and from 16 at every step
  UNROLL
  for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = (i32x16)_mm512_set1_epi32(offsets[r]);
  for (word i = 0; i < lines; i++, x += rows) {
    __m512i w0 = _mm512_xor_si512(line_of(w[0] + i * 64), sign), w1 = _mm512_xor_si512(line_of(w[1] + i * 64), sign);
    fetch(next[0] + i * 64);
    fetch(next[1] + i * 64);
    UNROLL
    for (int r = 0; r < rows; r++) {
      __m512i value = word_of(x + r);
      acc[r][0] = (i32x16)_mm512_dpbusd_epi32((__m512i)acc[r][0], w0, value);
      acc[r][1] = (i32x16)_mm512_dpbusd_epi32((__m512i)acc[r][1], w1, value);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) {
    __m512 scale = _mm512_set1_ps(scales[r]);
    UNROLL
    for (int p = 0; p < 2; p++) {
      float *sum = sums[p] + r * 16;
      _mm512_storeu_ps(sum, _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)acc[r][p]), scale, _mm512_loadu_ps(sum)));
    }
  }
}

// Groups of 32 columns: 4 lines of nibbles, low halves columns 0..3 of 8 and high halves 4..7.
INLINE void add_int4(const int rows, const uint32_t *x, const float *scales, const int32_t *offsets, word groups,
                     const uint8_t *w, const uint8_t *weight_scales, const uint8_t *next, float *sums) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512 total[ROW_STEP];
  UNROLL
  for (int r = 0; r < rows; r++) total[r] = _mm512_loadu_ps(sums + r * 16);
  for (word g = 0; g < groups; g++) {
    __m512i acc[ROW_STEP];
    UNROLL
    for (int r = 0; r < rows; r++) acc[r] = _mm512_set1_epi32(offsets[r]);
    UNROLL
    for (int i = 0; i < 4; i++, x += 2 * rows) {
      __m512i line = line_of(w + i * 64);
      __m512i first = _mm512_and_si512(line, low), second = _mm512_and_si512(_mm512_srli_epi16(line, 4), low);
      fetch(next + i * 64);
      UNROLL
      for (int r = 0; r < rows; r++) {
        acc[r] = _mm512_dpbusd_epi32(acc[r], first, word_of(x + r));
        acc[r] = _mm512_dpbusd_epi32(acc[r], second, word_of(x + rows + r));
      }
    }
    __m512i narrow = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)weight_scales));
    __m512 weight_scale = _mm512_castsi512_ps(_mm512_slli_epi32(narrow, 16));
    UNROLL
    for (int r = 0; r < rows; r++) {
      __m512 scale = _mm512_mul_ps(weight_scale, _mm512_set1_ps(scales[r]));
      total[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[r]), scale, total[r]);
    }
    w += 256;
    next += 256;
    weight_scales += 32;
    scales += rows;
    offsets += rows;
  }
  UNROLL
  for (int r = 0; r < rows; r++) _mm512_storeu_ps(sums + r * 16, total[r]);
}

static void multiply_dots(const block *b) {
  const operand *x = b->x;
  for (word g = 0; g < b->groups; g++) {
    word group = b->first_group + g, rows = rows_in_group(x, group), row = g * ROW_STEP * 16;
    const uint32_t *values = (const uint32_t *)(const void *)(group_at(x, group) + b->from * rows * bytes_per_column(x->way));
    word span = x->spans ? span_at(x, group, b->from / span_of(x->way)) : 0, columns = b->end - b->from;
    const float *scales = x->scales + span;
    const int32_t *offsets = x->sums + span;
    const uint8_t *w[2], *next[2];
    float *sums[2];
    for (int p = 0; p < 2; p++) {
      const panel *panel = &b->panels[p];
      w[p] = panel->values + b->from * 16 * (x->way == BF16_PAIRS ? 4 : x->way == INT8_QUADS ? 2 : 1) / 2;
      next[p] = g == 0 ? panel->next : w[p];
      sums[p] = panel->sums + row;
    }
    switch (x->way) {
      case BF16_PAIRS: WITH_ROWS(rows, add_bf16, values, columns / 2, w, next, sums) break;
      case INT8_QUADS: WITH_ROWS(rows, add_int8, values, scales, offsets, columns / 4, w, next, sums) break;
      default:
        for (int p = 0; p < 2; p++) {
          const uint8_t *weight_scales = b->panels[p].scales + b->from / INT4_GROUP * 32;
          WITH_ROWS(rows, add_int4, values, scales, offsets, columns / INT4_GROUP, w[p], weight_scales, next[p], sums[p])
        }
    }
  }
}
#endif

#endif
