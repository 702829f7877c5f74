// Packing rows of a checkpoint tensor into panels (see pack.h), at load. Quantises on the way when the format asks for it.
#include "pack.h"

#include <math.h>
#include <string.h>

#include "simd.h"

// The checkpoint's number formats.
enum { SOURCE_BF16, SOURCE_F16, SOURCE_F32 };

static float half(uint16_t bits) {
  uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  float magnitude = exponent == 0    ? fraction * 0x1p-24f
                    : exponent == 31 ? (fraction ? NAN : INFINITY)
                                     : ldexpf((float)(1024 + fraction), (int)exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

static float value_at(const void *row, word column, word source) {
  if (source == SOURCE_F32) {
    float value;
    memcpy(&value, (const uint8_t *)row + column * 4, 4);
    return value;
  }
  uint16_t bits;
  memcpy(&bits, (const uint8_t *)row + column * 2, 2);
  return source == SOURCE_BF16 ? from_bf16(bits) : half(bits);
}

static void pack_f32(float *panel, word r, const void *row, word columns, word source) {
  for (word c = 0; c < columns; c++) panel[c * PANEL_ROWS + r] = value_at(row, c, source);
}

static void pack_bf16(uint16_t *panel, word r, const void *row, word columns, word source) {
  for (word c = 0; c < columns; c++) {
    uint16_t bits;
    if (source == SOURCE_BF16) memcpy(&bits, (const uint8_t *)row + c * 2, 2);
    else bits = to_bf16(value_at(row, c, source));
    panel[(c / 2 * PANEL_ROWS + r) * 2 + c % 2] = bits;
  }
}

static float largest(const void *row, word first, word end, word source) {
  float most = 0;
  for (word c = first; c < end; c++) {
    float magnitude = fabsf(value_at(row, c, source));
    if (magnitude > most) most = magnitude;
  }
  return most;
}

// One scale a row: the largest magnitude becomes 127.
static void pack_int8(int8_t *panel, float *scales, word r, const void *row, word columns, word source) {
  float scale = largest(row, 0, columns, source) / 127;
  scales[r] = scale;
  for (word c = 0; c < columns; c++) {
    float q = scale > 0 ? roundf(value_at(row, c, source) / scale) : 0;
    panel[(c / 4 * PANEL_ROWS + r) * 4 + c % 4] = (int8_t)q;
  }
}

// One scale for 32 columns of a row. The value of largest magnitude becomes -8, which uses all sixteen steps. The scale
// is rounded to bf16 first, so that its error is not added to the values'.
static void pack_int4(uint8_t *panel, uint16_t *scales, word r, const void *row, word columns, word source) {
  for (word first = 0; first < columns; first += INT4_GROUP) {
    word end = first + INT4_GROUP < columns ? first + INT4_GROUP : columns;
    float extreme = 0;
    for (word c = first; c < end; c++) {
      float value = value_at(row, c, source);
      if (fabsf(value) > fabsf(extreme)) extreme = value;
    }
    uint16_t narrow = to_bf16(extreme / -8);
    float scale = from_bf16(narrow);
    scales[first / INT4_GROUP * PANEL_ROWS + r] = narrow;
    for (word c = first; c < first + INT4_GROUP; c++) {
      float q = c < end && scale != 0 ? roundf(value_at(row, c, source) / scale) : 0;
      unsigned nibble = (unsigned)(int)((q > 7 ? 7 : q < -8 ? -8 : q) + 8);
      uint8_t *byte = panel + (c / 8 * PANEL_ROWS + r) * 4 + c % 4;
      *byte = c % 8 < 4 ? (uint8_t)((*byte & 0xf0) | nibble) : (uint8_t)((*byte & 0x0f) | nibble << 4);
    }
  }
}

// Packs `count` rows, contiguous in the source, as rows `first` and following of a weight. The panels' memory starts as
// zeros; rows of one panel may come from several calls, but not at the same time.
void internvl_pack(const weight *weight, word first, word count, const void *rows, word source) {
  word width = weight->columns * (source == SOURCE_F32 ? 4 : 2);
  word bytes = panel_bytes(weight->columns, weight->format);
  word scale_bytes = scale_bytes_per_panel(weight->columns, weight->format);
  for (word i = 0; i < count; i++) {
    word m = first + i, r = m % PANEL_ROWS;
    const void *row = (const uint8_t *)rows + i * width;
    uint8_t *panel = AT(uint8_t, weight->address) + m / PANEL_ROWS * bytes;
    void *scales = AT(uint8_t, weight->scales) + m / PANEL_ROWS * scale_bytes;
    switch (weight->format) {
      case PANEL_F32: pack_f32((float *)panel, r, row, weight->columns, source); break;
      case PANEL_BF16: pack_bf16((uint16_t *)panel, r, row, weight->columns, source); break;
      case PANEL_INT8: pack_int8((int8_t *)panel, scales, r, row, weight->columns, source); break;
      case PANEL_INT4: pack_int4(panel, scales, r, row, weight->columns, source); break;
      default: break;
    }
  }
}
