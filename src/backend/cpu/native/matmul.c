// Products with packed weights, and what is added to them.
#include <math.h>

#include "kernels.h"
#include "pack.h"
#include "simd.h"

static float weight_at(const weight *w, word m, word k) {
  word p = m / PANEL_ROWS, r = m % PANEL_ROWS;
  const uint8_t *panel = AT(uint8_t, w->address) + p * panel_bytes(w->columns, w->format);
  const float *scales = (const float *)(AT(uint8_t, w->scales) + p * scale_bytes_per_panel(w->columns, w->format));
  switch (w->format) {
    case PANEL_F32: return ((const float *)panel)[k * PANEL_ROWS + r];
    case PANEL_BF16: return from_bf16(((const uint16_t *)panel)[(k / 2 * PANEL_ROWS + r) * 2 + k % 2]);
    case PANEL_INT8: return scales[r] * ((const int8_t *)panel)[(k / 4 * PANEL_ROWS + r) * 4 + k % 4];
    default: {
      uint8_t byte = panel[(k / 8 * PANEL_ROWS + r) * 4 + k % 4];
      return scales[k / INT4_GROUP * PANEL_ROWS + r] * (float)((k % 8 < 4 ? byte & 15 : byte >> 4) - 8);
    }
  }
}

static float product(const lane *lane, const float *x, const weight *w, word m) {
  float sum = 0;
  for (word k = 0; k < w->columns; k++) {
    float value = lane->program->fast ? from_bf16(to_bf16(x[k])) : x[k];
    sum += value * weight_at(w, m, k);
  }
  return sum;
}

void KERNEL(matmul)(const lane *lane) {
  const matmul_operation *o = &lane->operation->matmul;
  word first, end;
  while (claim(lane, 0, o->weight.rows, 16, &first, &end)) {
    for (word m = first; m < end; m++) {
      for (word n = 0; n < o->input.rows; n++) {
        float value = product(lane, row_f32(&o->input, n), &o->weight, m);
        if (o->bias) value += AT(float, o->bias)[m];
        if (o->gelu) value = 0.5f * value * (1 + erff(value * 0.70710678f));
        if (o->scale) value *= AT(float, o->scale)[m];
        if (o->residual.address) value += row_f32(&o->residual, n)[m];
        if (o->table.address) value += row_f32(&o->table, n % o->table.rows)[m];
        row_f32(&o->output, n)[m] = value;
      }
    }
  }
}

void KERNEL(gated_matmul)(const lane *lane) {
  const gated_matmul_operation *o = &lane->operation->gated_matmul;
  word first, end;
  while (claim(lane, 0, o->gate.rows, 16, &first, &end)) {
    for (word m = first; m < end; m++) {
      for (word n = 0; n < o->input.rows; n++) {
        const float *x = row_f32(&o->input, n);
        float gate = product(lane, x, &o->gate, m);
        row_f32(&o->output, n)[m] = gate / (1 + expf(-gate)) * product(lane, x, &o->up, m);
      }
    }
  }
}

word KERNEL(matmul_workspace)(const matmul_operation *operation, word fast, int lanes) {
  (void)operation, (void)fast, (void)lanes;
  return 0;
}

word KERNEL(gated_matmul_workspace)(const gated_matmul_operation *operation, word fast, int lanes) {
  (void)operation, (void)fast, (void)lanes;
  return 0;
}
