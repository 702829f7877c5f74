// Causal attention of new tokens over cached ones. The positions of a sequence are cut into stretches of a fixed length;
// a row's result over each is worked out by itself, and they are joined in order: the same bits whether one unit of work
// goes through all stretches of a block of rows (prefill), or several share them (decode over a long context).
//
// A unit is a block of a sequence's new tokens for one key-value head, with all query heads that share it: keys and
// values are read once for them.
#include "attention_block.h"
#include "cache.h"
#include "kernels.h"

// Positions of a stretch.
#define POSITIONS 256
// At most so much memory is given to results of single stretches.
#define SHARED_BYTES (64 << 20)

// What one operation's units have in common.
typedef struct {
  const paged_attention_operation *o;
  operands kind;
  word element, head_size, depth, sharing, tokens, rows, value_depth, stretches, stride;
  float scale;
  bool shared;
  // A lane's scratch in bytes from its beginning; where the lanes' own ends, the shared results begin.
  struct { word scores, states, next, tail, keys, values, bytes; } at;
  uint8_t *scratch;
  float *results;  // [query row][head][stretch] states
} task;

// One block of new tokens: rows are token by token, head by head.
typedef struct { word sequence, head, first_row, tokens, past, length; } block;

static task task_of(const paged_attention_operation *o, int lanes) {
  const key_value_cache *cache = &o->cache;
  task t = {.o = o, .head_size = cache->head_size, .depth = up_to(cache->head_size, 16), .scale = score_scale(cache->head_size)};
  t.value_depth = cache_in_panels(cache) && cache->page_size % 32 != 0 ? 16 : 32;
  t.kind = operands_of(cache->bf16, t.head_size, t.value_depth);
  t.element = cache->bf16 ? 2 : 4;
  t.sharing = o->heads / cache->key_value_heads;
  t.tokens = t.sharing < QUERY_ROWS ? QUERY_ROWS / t.sharing : 1;
  // Tiles work on up to 32 rows from any first row on.
  t.rows = up_to(t.tokens * t.sharing, 32) + 32;
  t.stride = state_stride(t.head_size);
  t.stretches = (o->pages.columns * cache->page_size + POSITIONS - 1) / POSITIONS;
  const word gathered = cache_in_panels(cache) ? 0 : POSITIONS * t.depth * t.element;
  t.at.scores = up_to(t.rows * t.depth * 4, 64);
  t.at.states = t.at.scores + t.rows * SCORE_STRIDE * 4;
  t.at.next = t.at.states + t.rows * t.stride * 4;
  t.at.tail = t.at.next + t.rows * t.stride * 4;
  t.at.keys = t.at.tail + 32 * t.depth * t.element;
  t.at.values = t.at.keys + gathered;
  t.at.bytes = up_to(t.at.values + gathered, 64);
  const word fewest_units = (o->query.rows + t.tokens - 1) / t.tokens * cache->key_value_heads;
  const word results = o->query.rows * o->heads * t.stretches * t.stride * 4;
  t.shared = t.stretches > 1 && fewest_units < 4 * lanes && results <= SHARED_BYTES;
  return t;
}

// Copies a head's keys or values from a cache that is not in panels, as operands; zeros at and after the end of the
// sequence and beyond the head.
static void gather(const task *t, const block *b, cache_part part, word first, word count, uint8_t *to) {
  const key_value_cache *cache = &t->o->cache;
  memset(to, 0, count * t->depth * t->element);
  for (word i = 0; i < count && first + i < b->length; i++) {
    const word position = first + i, page = row_u32(&t->o->pages, b->sequence)[position / cache->page_size];
    const uint8_t *from = cache_page(cache, page, t->o->layer, part) +
                          cache_columns_of(cache, position % cache->page_size, b->head, part).first * t->element;
    for (word c = 0; c < t->head_size; c++) {
      word place = part == KEYS ? i / 16 * 16 * t->depth : c / 16 * 16 * count;
      if (part == KEYS) place += t->element == 2 ? c / 2 * 32 + i % 16 * 2 + c % 2 : c * 16 + i % 16;
      else place += t->element == 2 ? i / 2 * 32 + c % 16 * 2 + i % 2 : i * 16 + c % 16;
      memcpy(to + place * t->element, from + c * t->element, t->element);
    }
  }
}

// Copies a part of values of which the first `count` are the sequence's, and zeros for the rest.
static void copy_last_values(const task *t, const uint8_t *from, word stride, word count, uint8_t *to) {
  for (word c = 0; c < t->head_size; c += 16, from += stride, to += t->value_depth * 16 * t->element) {
    const word bytes = t->element == 2 ? count / 2 * 64 : count * 64;
    memset(to, 0, t->value_depth * 16 * t->element);
    memcpy(to, from, bytes);
    // Of the last pair only the first is.
    for (word i = 0; t->element == 2 && count % 2 && i < 64; i += 4) memcpy(to + bytes + i, from + bytes + i, 2);
  }
}

// The operands of positions first … first + keys - 1, where they stand in the cache or copied. A value past the end of
// the sequence may be anything, and 0 times anything need not be 0: the last values are copied with zeros behind them.
static void find_operands(const task *t, const block *b, word first, word keys, part *panels, part *values) {
  const key_value_cache *cache = &t->o->cache;
  uint8_t *scratch = t->scratch;
  const word depth = t->value_depth;
  if (!cache_in_panels(cache)) {
    gather(t, b, KEYS, first, keys, scratch + t->at.keys);
    gather(t, b, VALUES, first, keys, scratch + t->at.values);
    for (word i = 0; i < keys / 16; i++) panels[i].at = scratch + t->at.keys + i * 16 * t->depth * t->element;
    for (word i = 0; i < keys / depth; i++) {
      values[i] = (part){scratch + t->at.values + i * depth * 16 * t->element, keys * 16 * t->element};
    }
    return;
  }
  const uint32_t *pages = row_u32(&t->o->pages, b->sequence);
  const word head = b->head * cache->page_size * t->head_size * t->element;
  for (word i = 0; i < keys / 16; i++) {
    const word position = first + i * 16, offset = position % cache->page_size;
    // A panel may begin after the end, on a page that is not there: its scores are not seen.
    const word page = pages[position < b->length ? position / cache->page_size : 0];
    panels[i].at = cache_page(cache, page, t->o->layer, KEYS) + head + offset * t->head_size * t->element;
  }
  for (word i = 0; i < keys / depth; i++) {
    const word position = first + i * depth, offset = position % cache->page_size;
    const uint8_t *page = cache_page(cache, pages[position / cache->page_size], t->o->layer, VALUES);
    values[i] = (part){page + head + offset * 16 * t->element, cache->page_size * 16 * t->element};
    if (position + depth > b->length) {
      copy_last_values(t, values[i].at, values[i].stride, b->length - position, scratch + t->at.tail);
      values[i] = (part){scratch + t->at.tail, depth * 16 * t->element};
    }
  }
}

static float *result(const task *t, word row, word head, word stretch) {
  return t->results + ((row * t->o->heads + head) * t->stretches + stretch) * t->stride;
}

// Positions that a token of a block sees.
static word visible_of(const block *b, word token) { return b->past + token + 1; }

// One block of rows over the stretches first … end - 1.
static void attend_block(const task *t, const block *b, word first, word end) {
  const word rows = b->tokens * t->sharing;
  float *states = (float *)(t->scratch + t->at.states), *next = (float *)(t->scratch + t->at.next);
  for (word r = 0; r < rows; r++) {
    const float *query = row_f32(&t->o->query, b->first_row + r / t->sharing) + (b->head * t->sharing + r % t->sharing) * t->head_size;
    place_query(t->kind, query, t->head_size, t->scratch + r * t->depth * (narrow(t->kind) ? 2 : 4));
  }
  for (word s = first; s < end; s++) {
    // Rows before this one see none of the stretch.
    const word begin = s * POSITIONS, token = begin > b->past ? begin - b->past : 0, from = token * t->sharing;
    const word last = visible_of(b, b->tokens - 1) - begin;
    const word seen = last < POSITIONS ? last : POSITIONS;
    part panels[POSITIONS / 16], values[POSITIONS / 16];
    word visible[rows];
    for (word r = from; r < rows; r++) {
      word some = visible_of(b, r / t->sharing) - begin;
      visible[r] = some < POSITIONS ? some : POSITIONS;
    }
    const word keys = up_to(seen, t->value_depth);
    find_operands(t, b, begin, keys, panels, values);
    stretch work = {.kind = t->kind, .rows = rows - from, .head_size = t->head_size, .query_stride = t->depth, .keys = keys,
                    .key_panels = panels, .value_parts = values, .value_depth = t->value_depth, .scale = t->scale};
    float *to = (s == 0 ? states : next) + from * t->stride;
    attend(&work, t->scratch + from * t->depth * (narrow(t->kind) ? 2 : 4), visible + from,
           (float *)(t->scratch + t->at.scores), to);
    for (word r = from; r < rows; r++) {
      float *state = (s == 0 ? states : next) + r * t->stride;
      if (t->shared) {
        float *kept = result(t, b->first_row + r / t->sharing, b->head * t->sharing + r % t->sharing, s);
        memcpy(kept, state, t->stride * sizeof(float));
      } else if (s > 0) {
        join(states + r * t->stride, state, t->head_size, t->scale);
      }
    }
  }
  for (word r = 0; r < rows && !t->shared; r++) {
    float *output = row_f32(&t->o->output, b->first_row + r / t->sharing) + (b->head * t->sharing + r % t->sharing) * t->head_size;
    finish(states + r * t->stride, t->head_size, output);
  }
}

static word stretches_of(word positions) { return (positions + POSITIONS - 1) / POSITIONS; }

// Units of a sequence, and how many of them each block has for a head.
static word units_of(const task *t, word sequence, word *each) {
  const word tokens = *row_u32(&t->o->starts, sequence + 1) - *row_u32(&t->o->starts, sequence);
  *each = t->shared ? stretches_of(*row_u32(&t->o->lengths, sequence)) : 1;
  return (tokens + t->tokens - 1) / t->tokens * t->o->cache.key_value_heads * *each;
}

static void run_unit(const task *t, word unit) {
  word sequence = 0, each, units;
  while (unit >= (units = units_of(t, sequence, &each))) unit -= units, sequence++;
  // The last blocks see most: they go first.
  unit = units - 1 - unit;
  const word heads = t->o->cache.key_value_heads, start = *row_u32(&t->o->starts, sequence);
  const word tokens = *row_u32(&t->o->starts, sequence + 1) - start, length = *row_u32(&t->o->lengths, sequence);
  const word first = unit / each / heads * t->tokens;
  block b = {.sequence = sequence, .head = unit / each % heads, .first_row = start + first, .past = length - tokens + first,
             .length = length, .tokens = tokens - first < t->tokens ? tokens - first : t->tokens};
  const word all = stretches_of(visible_of(&b, b.tokens - 1));
  if (!t->shared) attend_block(t, &b, 0, all);
  else if (unit % each < all) attend_block(t, &b, unit % each, unit % each + 1);
}

// Joins the stretches of each head of a row.
static void join_row(const task *t, word row) {
  word sequence = 0;
  while (*row_u32(&t->o->starts, sequence + 1) <= row) sequence++;
  const word visible = *row_u32(&t->o->lengths, sequence) - (*row_u32(&t->o->starts, sequence + 1) - row) + 1;
  for (word head = 0; head < t->o->heads; head++) {
    float *all = result(t, row, head, 0);
    for (word s = 1; s < stretches_of(visible); s++) join(all, result(t, row, head, s), t->head_size, t->scale);
    finish(all, t->head_size, row_f32(&t->o->output, row) + head * t->head_size);
  }
}

void KERNEL(paged_attention)(const lane *lane) {
  const paged_attention_operation *o = &lane->operation->paged_attention;
  task t = task_of(o, lane->count);
  t.scratch = (uint8_t *)workspace(lane) + lane->index * t.at.bytes;
  t.results = (float *)((uint8_t *)workspace(lane) + lane->count * t.at.bytes);
  word total = 0, each, first, end;
  for (word b = 0; b < o->lengths.rows; b++) total += units_of(&t, b, &each);
  if (t.kind == TILES) begin_tiles();
  while (claim(lane, 0, total, 1, &first, &end)) run_unit(&t, first);
  if (t.kind == TILES) end_tiles();
  if (!t.shared) return;
  lane_barrier(lane);
  const word rows = *row_u32(&o->starts, o->lengths.rows);
  while (claim(lane, 1, rows, 1, &first, &end)) join_row(&t, first);
}

word KERNEL(paged_attention_workspace)(const paged_attention_operation *operation, word fast, int lanes) {
  (void)fast;
  const task t = task_of(operation, lanes);
  return lanes * t.at.bytes + (t.shared ? operation->query.rows * operation->heads * t.stretches * t.stride * 4 : 0);
}
