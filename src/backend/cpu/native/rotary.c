// Rotates q and k by the angles of their positions, and keeps k and v in the cache.
#include <string.h>

#include "cache.h"
#include "kernels.h"
#include "simd.h"

// Each head of `from` by [cos | sin]: pairs are half a head apart. In and out may not overlap.
static void rotate_heads(const float *from, const float *angles, word columns, word size, float *to) {
  word half = size / 2;
  for (word head = 0; head < columns; head += size) {
    for (word i = 0; i < half; i++) {
      float a = from[head + i], b = from[head + i + half];
      to[head + i] = a * angles[i] - b * angles[i + half];
      to[head + i + half] = b * angles[i] + a * angles[i + half];
    }
  }
}

static void keep(const float *from, word columns, void *to, word bf16) {
  if (!bf16) memcpy(to, from, columns * sizeof(float));
  else for (word i = 0; i < columns; i++) ((uint16_t *)to)[i] = to_bf16(from[i]);
}

void KERNEL(rotary)(const lane *lane) {
  const rotary_operation *o = &lane->operation->rotary;
  word size = o->cache.head_size, columns = o->cache.key_value_heads * size, first, end;
  while (claim(lane, 0, o->query.rows, 4, &first, &end)) {
    for (word n = first; n < end; n++) {
      const float *angles = row_f32(&o->angles, n);
      uint32_t slot = *row_u32(&o->slots, n);
      rotate_heads(row_f32(&o->query, n), angles, o->query.columns, size, row_f32(&o->output, n));
      // A key in turn takes at most a head of scratch: rotate and keep it head by head.
      float head[1024];
      for (word c = 0; c < columns; c += size) {
        rotate_heads(row_f32(&o->key, n) + c, angles, size, size, head);
        keep(head, size, cache_at(&o->cache, o->layer, 0, slot, c), o->cache.bf16);
      }
      keep(row_f32(&o->value, n), columns, cache_at(&o->cache, o->layer, 1, slot, 0), o->cache.bf16);
    }
  }
}
