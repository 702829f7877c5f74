// Finding keys and values in their pages: see key_value_cache.
#ifndef INTERNVL_CACHE_H
#define INTERNVL_CACHE_H

#include "program.h"

// The address of column `column` of a slot's key (part 0) or value (part 1) in a layer. Slot = page * page_size + offset.
static inline void *cache_at(const key_value_cache *cache, word layer, int part, word slot, word column) {
  word width = cache->key_value_heads * cache->head_size;
  word page = slot / cache->page_size, offset = slot % cache->page_size;
  word row = ((page * cache->layers + layer) * 2 + part) * cache->page_size + offset;
  return AT(uint8_t, cache->address) + (row * width + column) * (cache->bf16 ? 2 : 4);
}

#endif
