// Rotates q and k by the angles of their positions, and keeps k and v in the cache.
#include <string.h>

#include "cache.h"
#include "kernels.h"
#include "simd.h"

// One head by [cos | sin]: pairs are half a head apart. In and out may not overlap.
static void rotate(const float *restrict from, const float *restrict angles, word size, float *restrict to) {
  word half = size / 2;
  for (word i = 0; i < half; i++) {
    float a = from[i], b = from[i + half];
    to[i] = a * angles[i] - b * angles[i + half];
    to[i + half] = b * angles[i] + a * angles[i + half];
  }
}

// Column i of the rotated head.
static inline float rotated(const float *from, const float *angles, word half, word i) {
  if (i < half) return from[i] * angles[i] - from[i + half] * angles[i + half];
  return from[i] * angles[i - half] + from[i - half] * angles[i];
}

// Writes one head of a key (turned, where there are angles) or value to its slot.
static void keep(const key_value_cache *cache, uint8_t *page, cache_columns at, const float *from, const float *angles) {
  word to = at.first;
  for (word i = 0, left = at.run; i < cache->head_size; i++) {
    float value = angles ? rotated(from, angles, cache->head_size / 2, i) : from[i];
    if (cache->bf16) ((uint16_t *)page)[to] = to_bf16(value);
    else ((float *)page)[to] = value;
    to += at.next;
    if (--left == 0) left = at.run, to += at.skip;
  }
}

void KERNEL(rotary)(const lane *lane) {
  const rotary_operation *o = &lane->operation->rotary;
  const key_value_cache *cache = &o->cache;
  word size = cache->head_size, first, end;
  while (claim(lane, 0, o->query.rows, 16, &first, &end)) {
    for (word n = first; n < end; n++) {
      const float *angles = row_f32(&o->angles, n);
      const word slot = *row_u32(&o->slots, n), page = slot / cache->page_size, offset = slot % cache->page_size;
      for (word c = 0; c < o->query.columns; c += size) {
        rotate(row_f32(&o->query, n) + c, angles, size, row_f32(&o->output, n) + c);
      }
      for (word head = 0; head < cache->key_value_heads; head++) {
        keep(cache, cache_page(cache, page, o->layer, KEYS), cache_columns_of(cache, offset, head, KEYS),
             row_f32(&o->key, n) + head * size, angles);
        keep(cache, cache_page(cache, page, o->layer, VALUES), cache_columns_of(cache, offset, head, VALUES),
             row_f32(&o->value, n) + head * size, NULL);
      }
    }
  }
}
