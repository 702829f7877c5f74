// Causal attention of new tokens over cached ones.
#include <math.h>

#include "cache.h"
#include "kernels.h"
#include "simd.h"

static float cached(const key_value_cache *cache, word layer, int part, word slot, word column) {
  const void *at = cache_at(cache, layer, part, slot, column);
  return cache->bf16 ? from_bf16(*(const uint16_t *)at) : *(const float *)at;
}

void KERNEL(paged_attention)(const lane *lane) {
  const paged_attention_operation *o = &lane->operation->paged_attention;
  const key_value_cache *cache = &o->cache;
  word size = cache->head_size, sharing = o->heads / cache->key_value_heads, first, end;
  float scale = 1 / sqrtf((float)size);
  while (claim(lane, 0, o->query.rows * o->heads, 4, &first, &end)) {
    for (word unit = first; unit < end; unit++) {
      word n = unit / o->heads, head = unit % o->heads, b = 0;
      while (*row_u32(&o->starts, b + 1) <= n) b++;
      word start = *row_u32(&o->starts, b), new_tokens = *row_u32(&o->starts, b + 1) - start;
      word visible = (word)*row_u32(&o->lengths, b) - new_tokens + (n - start) + 1, column = head / sharing * size;
      const float *q = row_f32(&o->query, n) + head * size;
      float *out = row_f32(&o->output, n) + head * size;
      float most = -INFINITY, total = 0;
      for (word i = 0; i < size; i++) out[i] = 0;
      for (word position = 0; position < visible; position++) {
        word slot = row_u32(&o->pages, b)[position / cache->page_size] * cache->page_size + position % cache->page_size;
        float score = 0;
        for (word i = 0; i < size; i++) score += q[i] * cached(cache, o->layer, 0, slot, column + i);
        score *= scale;
        if (score > most) {
          float shrink = expf(most - score);
          total *= shrink;
          for (word i = 0; i < size; i++) out[i] *= shrink;
          most = score;
        }
        float weight = expf(score - most);
        total += weight;
        for (word i = 0; i < size; i++) out[i] += weight * cached(cache, o->layer, 1, slot, column + i);
      }
      for (word i = 0; i < size; i++) out[i] /= total;
    }
  }
}

word KERNEL(paged_attention_workspace)(const paged_attention_operation *operation, word fast, int lanes) {
  (void)operation, (void)fast, (void)lanes;
  return 0;
}
