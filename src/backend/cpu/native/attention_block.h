// Attention of a block of query rows over a stretch of keys: scores = queries · keysᵀ, softmax, sums = weights · values;
// and how the results of stretches are joined.
#ifndef INTERNVL_ATTENTION_BLOCK_H
#define INTERNVL_ATTENTION_BLOCK_H

#include <math.h>

#include "attention_product.h"

// Query rows that are worked on together, and the most keys of a stretch.
#define QUERY_ROWS 64
#define STRETCH 320
#define SCORE_STRIDE (STRETCH + 16)

// What a row knows of the keys it has seen: [0] the largest score, [1] the sum of weights 2^(score - largest), and from
// STATE_HEAD on the sums of weighted values, columns of them padded to 16.
#define STATE_HEAD 16

static inline word up_to(word value, word step) { return (value + step - 1) / step * step; }
static inline word state_stride(word head_size) { return STATE_HEAD + up_to(head_size, 16); }

// Scores are multiplied by this before powers of two are taken of them: log2(e) / √head size.
static inline float score_scale(word head_size) { return 1.44269504f / sqrtf((float)head_size); }

// The operands of both products: `depths` are what tiles must divide.
static inline operands operands_of(bool bf16, word head_size, word value_depth) {
#if defined(__AMX_BF16__)
  if (bf16 && up_to(head_size, 16) % 32 == 0 && value_depth % 32 == 0) return TILES;
#endif
  (void)head_size, (void)value_depth;
#if defined(__AVX512BF16__)
  return bf16 ? PAIRS : FLOATS;
#else
  return bf16 ? PAIRS_AS_FLOATS : FLOATS;
#endif
}

// Whether queries and weights are bf16.
static inline bool narrow(operands kind) { return kind >= PAIRS; }

typedef struct {
  operands kind;
  word rows, head_size, query_stride;  // query rows [rows][query_stride elements], zeros beyond the head
  word keys;                           // a multiple of the depth of a part of values
  const part *key_panels;              // [keys / 16]
  const part *value_parts;
  word value_depth;
  float scale;
} stretch;

// Softmax without its division: scores become weights (bf16 where the operands are), in place; what a row may not see
// has weight 0.
static void weigh(float *scores, word visible, word keys, float scale, bool to_pairs, bool rough, float *state) {
  for (word i = visible; i < keys; i++) scores[i] = -INFINITY;
  lanes_f32 most = load_lanes(scores), other = most;
  word i = 0;
  for (; i + 2 * LANES <= keys; i += 2 * LANES) {
    most = larger(load_lanes(scores + i), most);
    other = larger(load_lanes(scores + i + LANES), other);
  }
  for (; i < keys; i += LANES) most = larger(load_lanes(scores + i), most);
  const float largest = max_lanes(larger(other, most));
  const lanes_f32 top = splat(largest), steep = splat(scale);
  lanes_f32 total = splat(0);
  (void)to_pairs;
#if defined(__AVX512BF16__)
  if (to_pairs) {
    // The weights of 32 keys end where the scores of 16 did.
    for (i = 0; i + 16 < keys; i += 32) {
      lanes_f32 low = exp2_lanes((load_lanes(scores + i) - top) * steep, 1);
      lanes_f32 high = exp2_lanes((load_lanes(scores + i + 16) - top) * steep, 1);
      total += low;
      total += high;
      __m512bh pairs = _mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
      memcpy((uint16_t *)scores + i, &pairs, sizeof pairs);
    }
    if (i < keys) {
      lanes_f32 low = exp2_lanes((load_lanes(scores + i) - top) * steep, 1);
      total += low;
      __m256bh pairs = _mm512_cvtneps_pbh((__m512)low);
      memcpy((uint16_t *)scores + i, &pairs, sizeof pairs);
    }
  } else
#endif
  for (i = 0; i < keys; i += LANES) {
    lanes_f32 weight = exp2_lanes((load_lanes(scores + i) - top) * steep, rough);
    total += weight;
    store_lanes(scores + i, weight);
  }
  state[0] = largest;
  state[1] = sum_lanes(total);
}

// The state of each row after the keys of a stretch alone. `visible[row]` of them may be seen, at least one; scores is
// scratch. Scores, queries and states have room for rows up to a multiple of 32.
static void attend(const stretch *o, const void *queries, const word *visible, float *scores, float *states) {
  const word stride = state_stride(o->head_size);
  // Panels of keys lie apart: each pair is a call, with its distance as the stride.
  const word together = 2;
  for (word panel = 0; panel < o->keys / 16; panel += together) {
    word panels = o->keys / 16 - panel < together ? o->keys / 16 - panel : together;
    part both = o->key_panels[panel];
    if (panels > 1) both.stride = o->key_panels[panel + 1].at - both.at;
    product product = {.a = queries, .a_stride = o->query_stride, .parts = &both, .count = 1,
                       .depth = up_to(o->head_size, 16), .panels = panels, .c = scores + panel * 16,
                       .c_stride = SCORE_STRIDE};
    multiply(o->kind, o->rows, &product);
  }
  for (word r = 0; r < o->rows; r++) {
    weigh(scores + r * SCORE_STRIDE, visible[r], o->keys, o->scale, narrow(o->kind), o->kind != FLOATS,
          states + r * stride);
  }
  product product = {.a = scores, .a_stride = narrow(o->kind) ? 2 * SCORE_STRIDE : SCORE_STRIDE, .parts = o->value_parts,
                     .count = o->keys / o->value_depth, .depth = o->value_depth,
                     .panels = up_to(o->head_size, 16) / 16, .c = states + STATE_HEAD, .c_stride = stride};
  multiply(o->kind, o->rows, &product);
}

// Joins the state of the next stretch of keys to that of all before it. One function for all callers: the same bits.
static __attribute__((noinline)) void join(float *all, const float *next, word head_size, float scale) {
  float most = all[0] > next[0] ? all[0] : next[0];
  float shrink = exp2_one((all[0] - most) * scale), weight = exp2_one((next[0] - most) * scale);
  all[0] = most;
  all[1] = all[1] * shrink + next[1] * weight;
  for (word i = STATE_HEAD; i < state_stride(head_size); i += LANES) {
    store_lanes(all + i, times_plus(load_lanes(all + i), splat(shrink), load_lanes(next + i) * splat(weight)));
  }
}

static void finish(const float *state, word head_size, float *output) {
  float inverse = 1 / state[1];
  for (word i = 0; i < head_size; i++) output[i] = state[STATE_HEAD + i] * inverse;
}

// 16 values, of which `count` are there and the rest zeros.
INLINE f32x16 some16(const float *from, word count) {
  f32x16 v = {0};
  if (count >= 16) return load16(from);
  if (count > 0) memcpy(&v, from, count * sizeof(float));
  return v;
}

// A head of a query row as an operand: bf16 or f32, zeros from head_size to its padding.
static void place_query(operands kind, const float *from, word head_size, void *to) {
  for (word i = 0; i < head_size; i += 16) {
    f32x16 values = some16(from + i, head_size - i);
    if (narrow(kind)) pairs16((uint16_t *)to + i, values);
    else store16((float *)to + i, values);
  }
}

#endif
