// Operations that only move values: embed, scatterRows, gatherRows, patches.
#include <string.h>

#include "kernels.h"
#include "simd.h"

// Half precision to single: exact, subnormals and infinities included.
static float from_f16(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
  uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value;
  if (exponent == 0) {
    value = fraction * 0x1p-24f;
    uint32_t wide;
    memcpy(&wide, &value, 4);
    wide |= sign;
    memcpy(&value, &wide, 4);
    return value;
  }
  uint32_t wide = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
  memcpy(&value, &wide, 4);
  return value;
}

// output[n] = table[ids[n]]; the table is [V, D] row by row.
void KERNEL(embed)(const lane *lane) {
  const embed_operation *o = &lane->operation->embed;
  word columns = o->table.columns, first, end;
  while (claim(lane, 0, o->ids.rows, 8, &first, &end)) {
    for (word n = first; n < end; n++) {
      uint32_t id = *row_u32(&o->ids, n);
      if (id >= o->table.rows) {
        atomic_store(&lane->program->failed, 1 + (lane->operation - AT(operation, lane->program->operations)));
        continue;
      }
      float *to = row_f32(&o->output, n);
      if (o->table.format == ROWS_F32) {
        memcpy(to, AT(float, o->table.address) + (word)id * columns, columns * sizeof(float));
        continue;
      }
      const uint16_t *from = AT(uint16_t, o->table.address) + (word)id * columns;
      if (o->table.format == ROWS_BF16) {
        for (word c = 0; c < columns; c++) to[c] = from_bf16(from[c]);
      } else {
        for (word c = 0; c < columns; c++) to[c] = from_f16(from[c]);
      }
    }
  }
}

// target[rows[m]] = source[m]
void KERNEL(scatter_rows)(const lane *lane) {
  const scatter_rows_operation *o = &lane->operation->scatter_rows;
  word first, end;
  while (claim(lane, 0, o->source.rows, 8, &first, &end)) {
    for (word m = first; m < end; m++) {
      memcpy(row_f32(&o->target, *row_u32(&o->rows, m)), row_f32(&o->source, m), o->source.columns * sizeof(float));
    }
  }
}

// output[m] = [input[rows[m][0]] | input[rows[m][1]] | …]
void KERNEL(gather_rows)(const lane *lane) {
  const gather_rows_operation *o = &lane->operation->gather_rows;
  word columns = o->input.columns, first, end;
  while (claim(lane, 0, o->rows.rows, 8, &first, &end)) {
    for (word m = first; m < end; m++) {
      for (word p = 0; p < o->rows.columns; p++) {
        const float *from = row_f32(&o->input, row_u32(&o->rows, m)[p]);
        memcpy(row_f32(&o->output, m) + p * columns, from, columns * sizeof(float));
      }
    }
  }
}

// Each tile becomes one row of zeros and its patches, row-major, each [channel, y, x] and normalised.
void KERNEL(patches)(const lane *lane) {
  const patches_operation *o = &lane->operation->patches;
  word size = o->tile_size, patch = o->patch_size, side = size / patch, first, end;
  // A pixel has 256 values a channel: work each out once.
  float value[3][256];
  for (int c = 0; c < 3; c++) {
    for (int u = 0; u < 256; u++) value[c][u] = (float)((u / 255.0 - number(o->mean[c])) / number(o->deviation[c]));
  }
  while (claim(lane, 0, o->output.rows, 32, &first, &end)) {
    for (word row = first; row < end; row++) {
      float *to = row_f32(&o->output, row);
      word tile = row / (1 + side * side), at = row % (1 + side * side) - 1;
      if (at < 0) {
        memset(to, 0, o->output.columns * sizeof(float));
        continue;
      }
      const uint8_t *pixels = AT(uint8_t, o->tiles.address) + tile * o->tiles.stride;
      for (word y = 0; y < patch; y++) {
        const uint8_t *line = pixels + ((at / side * patch + y) * size + at % side * patch) * 3;
        for (word x = 0; x < patch; x++) {
          for (int c = 0; c < 3; c++) to[(c * patch + y) * patch + x] = value[c][line[x * 3 + c]];
        }
      }
    }
  }
}
