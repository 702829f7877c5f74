// Keys and values in their pages: see key_value_cache. Where page and head sizes are multiples of 16, each head of a
// layer's keys (or values) stands in a page as the operand of attention_product.h that it will be, so that attention
// reads it in place:
//   keys    [head][slot / 16][column][16 slots]              bf16: [head][slot / 16][column / 2][16 slots][2]
//   values  [head][column / 16][slot][16 columns]            bf16: [head][column / 16][slot / 2][16 columns][2]
// Elsewhere it is the plain [slot][head][column] for both.
#ifndef INTERNVL_CACHE_H
#define INTERNVL_CACHE_H

#include "program.h"

typedef enum { KEYS, VALUES } cache_part;

static inline bool cache_in_panels(const key_value_cache *cache) {
  return cache->page_size % 16 == 0 && cache->head_size % 16 == 0;
}

// Where the keys or values of a layer begin in a page.
static inline uint8_t *cache_page(const key_value_cache *cache, word page, word layer, cache_part part) {
  word elements = cache->page_size * cache->key_value_heads * cache->head_size;
  return AT(uint8_t, cache->address) + ((page * cache->layers + layer) * 2 + part) * elements * (cache->bf16 ? 2 : 4);
}

// The place of column 0 of a head's key or value among the elements of `cache_page`, and the distance from a column to
// the next: *next, or after each `*run` columns *skip more.
typedef struct { word first, next, run, skip; } cache_columns;

static inline cache_columns cache_columns_of(const key_value_cache *cache, word offset, word head, cache_part part) {
  const word size = cache->head_size;
  if (!cache_in_panels(cache)) {
    return (cache_columns){.first = (offset * cache->key_value_heads + head) * size, .next = 1, .run = size};
  }
  const word head_first = head * cache->page_size * size;
  if (part == KEYS) {
    const word panel = head_first + offset / 16 * 16 * size, slot = offset % 16;
    // Pairs of columns stand together.
    if (cache->bf16) return (cache_columns){.first = panel + slot * 2, .next = 1, .run = 2, .skip = 30};
    return (cache_columns){.first = panel + slot, .next = 16, .run = size};
  }
  if (cache->bf16) {
    const word first = head_first + offset / 2 * 32 + offset % 2;
    return (cache_columns){.first = first, .next = 2, .run = 16, .skip = cache->page_size * 16 - 32};
  }
  return (cache_columns){.first = head_first + offset * 16, .next = 1, .run = 16, .skip = cache->page_size * 16 - 16};
}

#endif
