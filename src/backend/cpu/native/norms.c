// layerNorm and rmsNorm over rows, in f32 with sums in sixteen lanes.
#include <math.h>

#include "kernels.h"
#include "vector_math.h"

// Four sums at a time, so that one addition need not wait for the last.
static float sum_of(const float *x, word count) {
  lanes_f32 sum[4] = {splat(0), splat(0), splat(0), splat(0)};
  word i = 0;
  for (; i + 4 * LANES <= count; i += 4 * LANES) {
    for (int k = 0; k < 4; k++) sum[k] += load_lanes(x + i + k * LANES);
  }
  float total = sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
  for (; i < count; i++) total += x[i];
  return total;
}

// The sum of (x - mean)², and into *rest that of x - mean.
static float squares_of(const float *x, word count, float mean, float *rest) {
  lanes_f32 sum[4] = {splat(0), splat(0), splat(0), splat(0)}, apart[4] = {splat(0), splat(0), splat(0), splat(0)};
  word i = 0;
  for (; i + 4 * LANES <= count; i += 4 * LANES) {
    for (int k = 0; k < 4; k++) {
      lanes_f32 d = load_lanes(x + i + k * LANES) - splat(mean);
      apart[k] += d;
      sum[k] = times_plus(d, d, sum[k]);
    }
  }
  float total = sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
  *rest = sum_lanes((apart[0] + apart[1]) + (apart[2] + apart[3]));
  for (; i < count; i++) {
    float d = x[i] - mean;
    total += d * d;
    *rest += d;
  }
  return total;
}

// (x - mean) / sqrt(variance + epsilon) * weight + bias. A mean far from 0 is not exact in f32: what the differences still
// sum to corrects it.
static void layer_norm_row(const float *restrict x, const float *restrict weight, const float *restrict bias,
                           word columns, float epsilon, float *restrict y) {
  const float mean = sum_of(x, columns) / columns;
  float rest;
  const float squares = squares_of(x, columns, mean, &rest), shift = rest / columns;
  const float inverse = 1 / sqrtf(squares / columns - shift * shift + epsilon);
  for (word i = 0; i < columns; i++) y[i] = ((x[i] - mean) - shift) * inverse * weight[i] + bias[i];
}

void KERNEL(layer_norm)(const lane *lane) {
  const layer_norm_operation *o = &lane->operation->layer_norm;
  word first, end;
  while (claim(lane, 0, o->input.rows, 4, &first, &end)) {
    for (word n = first; n < end; n++) {
      layer_norm_row(row_f32(&o->input, n), AT(float, o->weight), AT(float, o->bias), o->input.columns,
                     (float)number(o->epsilon), row_f32(&o->output, n));
    }
  }
}

// x / sqrt(mean(x²) + epsilon) * weight
static void rms_norm_row(const float *restrict x, const float *restrict weight, word columns, float epsilon,
                         float *restrict y) {
  float rest;
  const float inverse = 1 / sqrtf(squares_of(x, columns, 0, &rest) / columns + epsilon);
  for (word i = 0; i < columns; i++) y[i] = x[i] * inverse * weight[i];
}

void KERNEL(rms_norm)(const lane *lane) {
  const rms_norm_operation *o = &lane->operation->rms_norm;
  word first, end;
  while (claim(lane, 0, o->input.rows, 4, &first, &end)) {
    for (word n = first; n < end; n++) {
      rms_norm_row(row_f32(&o->input, n), AT(float, o->weight), o->input.columns, (float)number(o->epsilon),
                   row_f32(&o->output, n));
    }
  }
}
