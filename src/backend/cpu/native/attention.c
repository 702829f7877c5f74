// Full attention inside groups of rows (tiles). A unit of work is a head of a group: its keys and values are packed into
// the lane's own scratch, which a core's second-level cache holds, and all query rows pass over them.
#include "attention_pack.h"
#include "kernels.h"

// Keys are padded to this, the depth of a tile of pairs.
#define KEY_STEP 32

// A lane's scratch, in bytes from its beginning.
typedef struct { word keys, values, queries, scores, states, next, bytes; } places;

static places places_of(const attention_operation *o) {
  const word padded = up_to(o->group_rows, KEY_STEP), depth = up_to(o->head_size, 16);
  places p = {0};
  p.values = padded * depth * 4;
  p.queries = p.values + padded * depth * 4;
  p.scores = p.queries + QUERY_ROWS * depth * 4;
  p.states = p.scores + QUERY_ROWS * SCORE_STRIDE * 4;
  p.next = p.states + QUERY_ROWS * state_stride(o->head_size) * 4;
  p.bytes = up_to(p.next + QUERY_ROWS * state_stride(o->head_size) * 4, 64);
  return p;
}

// Keys of a stretch: as even a division as whole steps allow.
static word stretch_of(word keys) {
  word stretches = (keys + STRETCH - 1) / STRETCH;
  return up_to((keys + stretches - 1) / stretches, KEY_STEP);
}

// Query rows `first` to `end` of a group, whose row 0 is row `group` of the tensors.
static void attend_rows(const attention_operation *o, operands kind, uint8_t *scratch, word group, word column,
                        word first, word end) {
  const places at = places_of(o);
  const word size = o->head_size, depth = up_to(size, 16), keys = o->group_rows, padded = up_to(keys, KEY_STEP);
  const word element = kind == FLOATS ? 4 : 2, stride = state_stride(size), length = stretch_of(keys), rows = end - first;
  float *states = (float *)(scratch + at.states), *next = (float *)(scratch + at.next);
  for (word r = 0; r < rows; r++) {
    place_query(kind, row_f32(&o->query, group + first + r) + column, size, scratch + at.queries + r * depth * element);
  }
  for (word begin = 0; begin < keys; begin += length) {
    const word seen = keys - begin < length ? keys - begin : length;
    part panels[STRETCH / 16], values = {scratch + at.values + begin * 16 * element, padded * 16 * element};
    word visible[QUERY_ROWS];
    for (word r = 0; r < rows; r++) visible[r] = seen;
    for (word i = 0; i < up_to(seen, KEY_STEP) / 16; i++) {
      panels[i] = (part){scratch + at.keys + (begin + i * 16) * depth * element, 0};
    }
    stretch work = {.kind = kind, .rows = rows, .head_size = size, .query_stride = depth, .keys = up_to(seen, KEY_STEP),
                    .key_panels = panels, .value_parts = &values, .value_depth = up_to(seen, KEY_STEP),
                    .scale = score_scale(size)};
    attend(&work, scratch + at.queries, visible, (float *)(scratch + at.scores), begin ? next : states);
    for (word r = 0; begin && r < rows; r++) join(states + r * stride, next + r * stride, size, work.scale);
  }
  for (word r = 0; r < rows; r++) finish(states + r * stride, size, row_f32(&o->output, group + first + r) + column);
}

void KERNEL(attention)(const lane *lane) {
  const attention_operation *o = &lane->operation->attention;
  const places at = places_of(o);
  uint8_t *scratch = (uint8_t *)workspace(lane) + lane->index * at.bytes;
  const word size = o->head_size, keys = o->group_rows, padded = up_to(keys, KEY_STEP);
#if defined(__AVX512BF16__)
  const operands kind = operands_of(lane->program->fast, size, KEY_STEP);
#else
  const operands kind = FLOATS;
#endif
  const word heads = o->query.rows / keys * o->heads, blocks = (keys + QUERY_ROWS - 1) / QUERY_ROWS;
  // With few heads for the lanes, several take one, and each packs its keys and values.
  word shares = (8 * lane->count + heads - 1) / heads, first, end;
  if (shares > blocks) shares = blocks;
  if (kind == TILES) begin_tiles();
  while (claim(lane, 0, heads * shares, 1, &first, &end)) {
    const word head = first / shares, share = first % shares;
    const word group = head / o->heads * keys, column = head % o->heads * size;
    const word element = kind == FLOATS ? 4 : 2, depth = up_to(size, 16);
    for (word key = 0; key < padded; key += 16) {
      pack_keys(kind != FLOATS, row_f32(&o->key, group + key) + column, o->key.stride, keys - key, size,
                scratch + at.keys + key * depth * element);
    }
    pack_values(kind != FLOATS, row_f32(&o->value, group) + column, o->value.stride, keys, padded, size,
                scratch + at.values);
    for (word block = blocks * share / shares; block < blocks * (share + 1) / shares; block++) {
      const word row = block * QUERY_ROWS;
      attend_rows(o, kind, scratch, group, column, row, row + QUERY_ROWS < keys ? row + QUERY_ROWS : keys);
    }
  }
  if (kind == TILES) end_tiles();
}

word KERNEL(attention_workspace)(const attention_operation *operation, word fast, int lanes) {
  (void)fast;
  return lanes * places_of(operation).bytes;
}
