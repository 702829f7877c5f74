// Packing rows of a checkpoint tensor into panels (see pack.h), at load. Quantises on the way when the format asks for it.
//
// A panel takes 64 columns of its rows at a time. Whatever the format, what stands together for one row is 4 bytes (a
// unit: 1 f32, 2 bf16, 4 int8, 8 int4), and a panel is [unit][16 rows]: each row's units are made side by side, then
// turned.
#include "pack.h"

#include <math.h>
#include <string.h>

#include "kernels.h"
#include "simd.h"

// The checkpoint's number formats.
enum { SOURCE_BF16, SOURCE_F16, SOURCE_F32 };

#define BLOCK COLUMN_PADDING

// Where the masks of a comparison are set, a; else b.
static inline f32x16 choose(i32x16 mask, f32x16 a, f32x16 b) { return (f32x16)((mask & (i32x16)a) | (~mask & (i32x16)b)); }

static inline f32x16 magnitude(f32x16 v) { return (f32x16)((i32x16)v & 0x7fffffff); }

// f16 to f32: the exponent moves by a product, which also makes subnormal numbers right; infinity and NaN keep theirs.
static f32x16 widen_f16(const uint16_t *from) {
  u16x16 narrow;
  memcpy(&narrow, from, sizeof narrow);
  u32x16 bits = __builtin_convertvector(narrow, u32x16);
  u32x16 moved = (bits & 0x7fff) << 13;
  u32x16 special = (u32x16)(moved >= 0x0f800000);
  u32x16 finite = (u32x16)((f32x16)moved * 0x1p112f);
  return (f32x16)((finite & ~special) | ((moved | 0x7f800000) & special) | (bits & 0x8000) << 16);
}

// Columns `first` and following of a row as f32, zeros behind its end.
static void widen_block(float block[BLOCK], const void *row, word first, word columns, word source) {
  word width = source == SOURCE_F32 ? 4 : 2, count = columns - first;
  uint8_t bytes[BLOCK * 4] = {0};
  const void *from = (const uint8_t *)row + first * width;
  if (count < BLOCK) from = memcpy(bytes, from, (size_t)(count * width));
  for (int c = 0; c < BLOCK; c += 16) {
    if (source == SOURCE_F32) store16(block + c, load16((const float *)from + c));
    else store16(block + c, (source == SOURCE_BF16 ? widen16 : widen_f16)((const uint16_t *)from + c));
  }
}

static void units_f32(uint32_t *units, const float block[BLOCK]) { memcpy(units, block, BLOCK * 4); }

static void units_bf16(uint32_t *units, const float block[BLOCK]) {
  for (int c = 0; c < BLOCK; c += 16) narrow16((uint16_t *)units + c, load16(block + c));
}

// To the nearest whole number, halves away from zero. `v` is small.
static i32x16 round16(f32x16 v) {
  i32x16 whole = __builtin_convertvector(v, i32x16);
  f32x16 rest = v - __builtin_convertvector(whole, f32x16);
  return whole - (i32x16)(rest >= 0.5f) + (i32x16)(rest <= -0.5f);
}

static void units_int8(uint32_t *units, const float block[BLOCK], float scale) {
  typedef int8_t i8x16 __attribute__((vector_size(16)));
  for (int c = 0; c < BLOCK; c += 16) {
    i8x16 narrow = __builtin_convertvector(scale > 0 ? round16(load16(block + c) / scale) : (i32x16){0}, i8x16);
    memcpy((int8_t *)units + c, &narrow, sizeof narrow);
  }
}

// The value of largest magnitude in a group; the first of equals.
static float extreme_of(const float group[INT4_GROUP]) {
  f32x16 a = load16(group), b = load16(group + 16);
  f32x16 size_a = magnitude(a), size_b = magnitude(b);
  float most = max16(choose(size_a > size_b, size_a, size_b));
  for (int c = 0; c < INT4_GROUP; c++) {
    if (fabsf(group[c]) == most) return group[c];
  }
  return 0;
}

// One scale for 32 columns of a row. The value of largest magnitude becomes -8, which uses all sixteen steps. The scale
// is rounded to bf16 first, so that its error is not added to the values'.
static void units_int4(uint32_t *units, const float block[BLOCK], uint16_t scales[BLOCK / INT4_GROUP]) {
  for (int group = 0; group < BLOCK / INT4_GROUP; group++) {
    const float *values = block + group * INT4_GROUP;
    scales[group] = to_bf16(extreme_of(values) / -8);
    float scale = from_bf16(scales[group]);
    int32_t nibbles[INT4_GROUP];
    for (int c = 0; c < INT4_GROUP; c += 16) {
      f32x16 q = scale != 0 ? load16(values + c) / scale : splat16(0);
      i32x16 whole = round16(choose(q > 7, splat16(7), choose(q < -8, splat16(-8), q))) + 8;
      memcpy(nibbles + c, &whole, sizeof whole);
    }
    for (int unit = 0; unit < INT4_GROUP / 8; unit++) {
      const int32_t *of = nibbles + unit * 8;
      uint32_t packed = 0;
      for (int b = 0; b < 4; b++) packed |= (uint32_t)(of[b] | of[b + 4] << 4) << (8 * b);
      units[group * (INT4_GROUP / 8) + unit] = packed;
    }
  }
}

// What a row's largest magnitude must be divided by, so that it becomes 127.
static float scale_int8(const void *row, word columns, word source) {
  f32x16 most = splat16(0);
  for (word first = 0; first < columns; first += BLOCK) {
    float block[BLOCK];
    widen_block(block, row, first, columns, source);
    for (int c = 0; c < BLOCK; c += 16) {
      f32x16 size = magnitude(load16(block + c));
      most = choose(size > most, size, most);
    }
  }
  return max16(most) / 127;
}

// Rows `first` to `end` of a panel; `rows` starts with the first of them.
static void pack_panel(uint8_t *panel, void *scales, word first, word end, const uint8_t *rows, const weight *weight,
                       word source) {
  word columns = weight->columns, format = weight->format, width = columns * (source == SOURCE_F32 ? 4 : 2);
  word units = panel_bytes(BLOCK, format) / PANEL_ROWS / 4;  // a row's share of a block
  float row_scales[PANEL_ROWS];
  if (format == PANEL_INT8) {
    for (word r = first; r < end; r++) {
      row_scales[r] = ((float *)scales)[r] = scale_int8(rows + (r - first) * width, columns, source);
    }
  }
  for (word c = 0; c < columns; c += BLOCK) {
    uint32_t turned[PANEL_ROWS][BLOCK];
    for (word r = first; r < end; r++) {
      const uint8_t *row = rows + (r - first) * width;
      if (format == PANEL_BF16 && source == SOURCE_BF16 && c + BLOCK <= columns) {
        memcpy(turned[r], row + c * 2, BLOCK * 2);
        continue;
      }
      float block[BLOCK];
      widen_block(block, row, c, columns, source);
      switch (format) {
        case PANEL_F32: units_f32(turned[r], block); break;
        case PANEL_BF16: units_bf16(turned[r], block); break;
        case PANEL_INT8: units_int8(turned[r], block, row_scales[r]); break;
        default: {
          uint16_t groups[BLOCK / INT4_GROUP];
          units_int4(turned[r], block, groups);
          for (int group = 0; group < BLOCK / INT4_GROUP; group++) {
            ((uint16_t *)scales)[(c / INT4_GROUP + group) * PANEL_ROWS + r] = groups[group];
          }
        }
      }
    }
    uint32_t *to = (uint32_t *)panel + c / BLOCK * units * PANEL_ROWS;
    if (first == 0 && end == PANEL_ROWS) {
      for (word u = 0; u < units; u++) {
        for (word r = 0; r < PANEL_ROWS; r++) to[u * PANEL_ROWS + r] = turned[r][u];
      }
    } else {
      for (word r = first; r < end; r++) {
        for (word u = 0; u < units; u++) to[u * PANEL_ROWS + r] = turned[r][u];
      }
    }
  }
}

// Packs `count` rows, contiguous in the source, as rows `first` and following of a weight. The panels' memory starts as
// zeros; rows of one panel may come from several calls, but not at the same time.
void KERNEL(pack)(const weight *weight, word first, word count, const void *rows, word source) {
  word width = weight->columns * (source == SOURCE_F32 ? 4 : 2);
  word bytes = panel_bytes(weight->columns, weight->format);
  word scale_bytes = scale_bytes_per_panel(weight->columns, weight->format);
  for (word m = first, end; m < first + count; m = end) {
    word panel = m / PANEL_ROWS;
    end = (panel + 1) * PANEL_ROWS < first + count ? (panel + 1) * PANEL_ROWS : first + count;
    pack_panel(AT(uint8_t, weight->address) + panel * bytes, AT(uint8_t, weight->scales) + panel * scale_bytes,
               m % PANEL_ROWS, end - panel * PANEL_ROWS, (const uint8_t *)rows + (m - first) * width, weight, source);
  }
}
