// Full attention inside groups of rows (tiles).
#include <math.h>

#include "kernels.h"
#include "simd.h"

void KERNEL(attention)(const lane *lane) {
  const attention_operation *o = &lane->operation->attention;
  word size = o->head_size, first, end;
  float scale = 1 / sqrtf((float)size);
  while (claim(lane, 0, o->query.rows * o->heads, 16, &first, &end)) {
    for (word unit = first; unit < end; unit++) {
      word n = unit / o->heads, column = unit % o->heads * size, group = n / o->group_rows * o->group_rows;
      const float *q = row_f32(&o->query, n) + column;
      float *out = row_f32(&o->output, n) + column;
      float most = -INFINITY, total = 0;
      for (word i = 0; i < size; i++) out[i] = 0;
      for (word j = group; j < group + o->group_rows; j++) {
        const float *k = row_f32(&o->key, j) + column, *v = row_f32(&o->value, j) + column;
        float score = 0;
        for (word i = 0; i < size; i++) score += q[i] * k[i];
        score *= scale;
        if (score > most) {
          float shrink = expf(most - score);
          total *= shrink;
          for (word i = 0; i < size; i++) out[i] *= shrink;
          most = score;
        }
        float weight = expf(score - most);
        total += weight;
        for (word i = 0; i < size; i++) out[i] += weight * v[i];
      }
      for (word i = 0; i < size; i++) out[i] /= total;
    }
  }
}

word KERNEL(attention_workspace)(const attention_operation *operation, word fast, int lanes) {
  (void)operation, (void)fast, (void)lanes;
  return 0;
}
