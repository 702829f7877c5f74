// layerNorm and rmsNorm over rows, in f32 with sums in sixteen lanes.
#include <math.h>

#include "kernels.h"
#include "simd.h"

static float sum_of(const float *x, word count) {
  f32x16 sum = {0};
  word i = 0;
  for (; i + 16 <= count; i += 16) sum += load16(x + i);
  float total = sum16(sum);
  for (; i < count; i++) total += x[i];
  return total;
}

static float squares_of(const float *x, word count, float mean) {
  f32x16 sum = {0};
  word i = 0;
  for (; i + 16 <= count; i += 16) {
    f32x16 d = load16(x + i) - mean;
    sum += d * d;
  }
  float total = sum16(sum);
  for (; i < count; i++) total += (x[i] - mean) * (x[i] - mean);
  return total;
}

// (x - mean) / sqrt(variance + epsilon) * weight + bias
void KERNEL(layer_norm)(const lane *lane) {
  const layer_norm_operation *o = &lane->operation->layer_norm;
  const float *weight = AT(float, o->weight), *bias = AT(float, o->bias);
  word columns = o->input.columns, first, end;
  while (claim(lane, 0, o->input.rows, 4, &first, &end)) {
    for (word n = first; n < end; n++) {
      const float *x = row_f32(&o->input, n);
      float *y = row_f32(&o->output, n);
      float mean = sum_of(x, columns) / columns;
      float inverse = 1 / sqrtf(squares_of(x, columns, mean) / columns + (float)number(o->epsilon));
      for (word i = 0; i < columns; i++) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
    }
  }
}

// x / sqrt(mean(x²) + epsilon) * weight
void KERNEL(rms_norm)(const lane *lane) {
  const rms_norm_operation *o = &lane->operation->rms_norm;
  const float *weight = AT(float, o->weight);
  word columns = o->input.columns, first, end;
  while (claim(lane, 0, o->input.rows, 4, &first, &end)) {
    for (word n = first; n < end; n++) {
      const float *x = row_f32(&o->input, n);
      float *y = row_f32(&o->output, n);
      float inverse = 1 / sqrtf(squares_of(x, columns, 0) / columns + (float)number(o->epsilon));
      for (word i = 0; i < columns; i++) y[i] = x[i] * inverse * weight[i];
    }
  }
}
