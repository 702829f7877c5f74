// Keys and values of f32 rows as the operands of attention_product.h:
//   keys    panels of 16 keys:     f32 [column][16 keys]         or bf16 [column / 2][16 keys][2]
//   values  panels of 16 columns:  f32 [key][16 columns]         or bf16 [key / 2][16 columns][2]
#ifndef INTERNVL_ATTENTION_PACK_H
#define INTERNVL_ATTENTION_PACK_H

#include "attention_block.h"

// bf16 in the lower halves.
INLINE u32x16 rounded16(f32x16 v) {
  uint16_t narrow[16];
  pairs16(narrow, v);
  u16x16 bits;
  memcpy(&bits, narrow, sizeof bits);
  return __builtin_convertvector(bits, u32x16);
}

#if LANES == 16
// Turns 16 rows of 16 words into 16 columns.
INLINE void transpose16(__m512i *r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    __m512i low = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88), high = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    __m512i low2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88), high2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(low, low2, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(low, low2, 0xdd);
    t[i + 4] = _mm512_shuffle_i32x4(high, high2, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(high, high2, 0xdd);
  }
  memcpy(r, t, sizeof t);
}
#endif

// One panel from up to 16 keys; the rest of them, and columns past the head, are zeros.
static void pack_keys(bool pairs, const float *from, word stride, word count, word head_size, void *panel) {
  const word depth = up_to(head_size, 16);
#if LANES == 16
  if (count >= 16 && head_size % (pairs ? 32 : 16) == 0) {
    for (word i = 0; i < depth; i += pairs ? 32 : 16) {
      __m512i rows[16];
      for (int key = 0; key < 16; key++) {
        const float *row = from + key * stride + i;
        if (pairs) {
          uint16_t narrow[32];
          pairs16(narrow, load16(row));
          pairs16(narrow + 16, load16(row + 16));
          memcpy(&rows[key], narrow, sizeof narrow);
        } else {
          memcpy(&rows[key], row, 64);
        }
      }
      transpose16(rows);
      memcpy((uint8_t *)panel + i * (pairs ? 32 : 64), rows, sizeof rows);
    }
    return;
  }
#endif
  for (word i = 0; i < depth; i++) {
    for (word key = 0; key < 16; key++) {
      float value = key < count && i < head_size ? from[key * stride + i] : 0;
      if (pairs) ((uint16_t *)panel)[i / 2 * 32 + key * 2 + i % 2] = to_bf16(value);
      else ((float *)panel)[i * 16 + key] = value;
    }
  }
}

// All panels of `count` keys, which are padded with zeros to `padded`, an even number.
static void pack_values(bool pairs, const float *from, word stride, word count, word padded, word head_size, void *to) {
  for (word column = 0; column < head_size; column += 16) {
    const word wide = head_size - column;
    for (word key = 0; key < padded; key += 2) {
      const float *row = from + key * stride + column;
      f32x16 even = some16(row, key < count ? wide : 0), odd = some16(row + stride, key + 1 < count ? wide : 0);
      uint8_t *line = (uint8_t *)to + (column * padded + key * 16) * (pairs ? 2 : 4);
      if (pairs) {
        u32x16 both = rounded16(even) | rounded16(odd) << 16;
        memcpy(line, &both, sizeof both);
      } else {
        memcpy(line, &even, sizeof even);
        memcpy(line + sizeof even, &odd, sizeof odd);
      }
    }
  }
}

#endif
