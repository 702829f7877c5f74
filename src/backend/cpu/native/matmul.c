// Products with packed weights, and what is added to them. The lanes convert the left operand together; then each claims
// blocks of output: some panels by some rows, small enough that sums and operand stay in the second cache.
//
// The way a product is computed depends on the weight's format, the precision and the processor, and every way adds a row's
// columns in one fixed order: a row's result is the same in any batch and with any number of lanes, bit for bit. (int4 has
// two ways, for few rows and for many, with the same bits.)
#include "epilogue.h"
#include "kernels.h"
#include "product.h"
#include "product_dots.h"
#include "product_floats.h"
#include "product_integers.h"
#include "product_tiles.h"

// A product works on pairs of panels: two neighbours, or the same panel of gate and up.
typedef struct {
  const lane *lane;
  const tensor *input;
  const weight *gate, *up;  // up: NULL in a plain product
  const matmul_operation *epilogue;
  const tensor *output;
  operand x;
  word pairs, block_pairs, pair_blocks, block_groups, row_blocks;
  float *sums, *scratch;  // of this lane
  bool past;  // outputs go past the caches
  int tile_shape;
} product;

static way way_of(const weight *weight, bool fast, word rows) {
  (void)weight, (void)fast, (void)rows;
#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
  if (fast && weight->format == PANEL_BF16) return BF16_TILES;
  if (fast && weight->format == PANEL_INT8) return INT8_TILES;
  if (fast && weight->format == PANEL_INT4 && rows > 16) return INT4_TILES;
#endif
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
  if (fast && weight->format == PANEL_BF16) return BF16_PAIRS;
  if (fast && weight->format == PANEL_INT8) return INT8_QUADS;
  if (fast && weight->format == PANEL_INT4) return INT4_QUADS;
#endif
#if defined(__wasm__)
  if (fast && weight->format == PANEL_INT8) return INT8_HALVES;
#if defined(__wasm_relaxed_simd__)
  if (fast && weight->format == PANEL_INT4) return INT4_QUADS;
#else
  if (fast && weight->format == PANEL_INT4) return INT4_HALVES;
#endif
#endif
  return FLOATS;
}

// Rows of a block at most, and pairs of panels: tiles take more, for they wait longer for rows. Rows of int8 take half the
// room of bf16, so that more of them stay in the second cache.
typedef struct { word rows, pairs; } block_limits;
static block_limits most_of(way way) {
  if (way == INT8_TILES) return (block_limits){384, 12};
  return tiled(way) ? (block_limits){320, 16} : (block_limits){256, 8};
}

// WebAssembly can not fetch ahead. One row takes its weights in a straight line, which processors foresee, and this many
// bytes of them at a time.
#define STREAM_BYTES 262144
static bool streams(const product *p) {
#if defined(__wasm__)
  return p->x.rows == 1;
#else
  (void)p;
  return false;
#endif
}

// Columns whose operand stays in the second cache beside the sums: about half a megabyte of it for a whole block.
static word block_columns(const product *p) {
  if (streams(p)) return p->x.columns;
  if (span_of(p->x.way) == INT8_SPAN) return INT8_SPAN;
  if (nibbled(p->x.way)) return 2048;
  return tiled(p->x.way) && p->x.rows > 16 ? tile_block(p->x.way) / bytes_per_column(p->x.way) : 512;
}

static bool cancelled(const lane *lane) {
  return atomic_load_explicit(&lane->program->cancel, memory_order_relaxed) != 0;
}

static word divide_up(word a, word b) { return (a + b - 1) / b; }

// Where everything lies in the workspace; the bytes it takes.
static word place(product *p, uint8_t *workspace, bool fast, int lanes, int lane) {
  word bytes = place_operand(&p->x, workspace, p->input, way_of(p->gate, fast, p->input->rows), fast);
  const block_limits most = most_of(p->x.way);
  word groups = divide_up(p->x.rows, p->x.step), most_groups = most.rows / p->x.step / 2 * 2;
  p->row_blocks = divide_up(groups, most_groups);
  p->block_groups = (divide_up(groups, p->row_blocks) + 1) / 2 * 2;
  p->row_blocks = divide_up(groups, p->block_groups);
  p->past = tiled(p->x.way) && p->x.rows > 16;
  p->pairs = p->up ? panels_of(p->gate->rows) : divide_up(panels_of(p->gate->rows), 2);
  p->block_pairs = p->x.rows <= 16 && !streams(p) ? 1 : most.pairs;
  if (streams(p)) {
    word pair_bytes = 2 * panel_bytes(p->x.columns, p->gate->format);
    while (p->block_pairs > 1 && p->block_pairs * pair_bytes > STREAM_BYTES) p->block_pairs /= 2;
  }
  while (p->block_pairs > 1 && divide_up(p->pairs, p->block_pairs) * p->row_blocks < 8 * lanes) p->block_pairs /= 2;
  p->pair_blocks = divide_up(p->pairs, p->block_pairs);
  word sums = most.pairs * 2 * p->block_groups * p->x.step * PANEL_ROWS, of_lane = sums + SCRATCH_FLOATS;
  p->sums = (float *)(workspace + bytes) + lane * of_lane;
  p->scratch = p->sums + sums;
  return bytes + lanes * of_lane * (word)sizeof(float);
}

// Panel 0 or 1 of a pair, without its sums. An odd last panel stands for its missing neighbour, too.
static panel panel_of(const product *p, word pair, int which) {
  const weight *weight = which && p->up ? p->up : p->gate;
  word index = p->up ? pair : 2 * pair + which, last = panels_of(weight->rows) - 1;
  if (index > last) index = last;
  return (panel){
      .values = AT(uint8_t, weight->address) + index * panel_bytes(weight->columns, weight->format),
      .scales = AT(uint8_t, weight->scales) + index * scale_bytes_per_panel(weight->columns, weight->format),
  };
}

static word first_pair(const product *p, word unit) { return unit / p->row_blocks * p->block_pairs; }
static word end_pair(const product *p, word unit) {
  word end = first_pair(p, unit) + p->block_pairs;
  return end < p->pairs ? end : p->pairs;
}

static word bytes_at(const product *p, word column) {
  return panel_bytes(COLUMN_PADDING, p->gate->format) / COLUMN_PADDING * column;
}

static void prepare(const operand *x, const tensor *input, word group) {
#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
  if (tiled(x->way)) {
    prepare_tiles(x, input, group);
    return;
  }
#endif
  prepare_group(x, input, group);
}

static void multiply(const block *block) {
  switch (block->x->way) {
#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
    case BF16_TILES:
    case INT8_TILES:
    case INT4_TILES: multiply_tiles(block); break;
#endif
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
    case BF16_PAIRS:
    case INT8_QUADS:
    case INT4_QUADS: multiply_dots(block); break;
#endif
#if defined(__wasm__)
    case INT8_HALVES:
    case INT4_HALVES:
    case INT4_QUADS: multiply_integers(block); break;
#endif
    default: multiply_floats(block);
  }
}

// Each pair of a unit fetches two of the groups of rows that its next columns are made of.
static void fetch_rows(const product *p, block *block, word index, word unit, word from) {
  (void)p, (void)block, (void)index, (void)unit, (void)from;
#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
  if (!tiled(p->x.way) || p->x.rows <= 16) return;
  if (from >= p->x.columns) from = 0;
  word group = unit % p->row_blocks * p->block_groups + index;
  if (index >= p->block_groups || (group + 2) * 16 > p->x.rows) return;
  for (word i = 0; i < 2; i++) block->next_rows[i] = tiles_at(&p->x, group + i, from);
#endif
}

static f32x16 sum_of(const weight *weight, word panel, const float *sums) {
  f32x16 v = load16(sums);
  return weight->format == PANEL_INT8 ? v * load16(AT(float, weight->scales) + panel * PANEL_ROWS) : v;
}

static word first_row(const product *p, word unit) { return unit % p->row_blocks * p->block_groups * p->x.step; }
static word rows_of(const product *p, word unit) {
  word rows = p->x.rows - first_row(p, unit), most = p->block_groups * p->x.step;
  return rows < most ? rows : most;
}
static float *sums_at(const product *p, word unit, word pair, word which) {
  return p->sums + ((pair - first_pair(p, unit)) * 2 + which) * p->block_groups * p->x.step * PANEL_ROWS;
}

// From sums to outputs: all rows of a pair. One copy for all products, since compilers that fuse a multiplication with an
// addition choose anew in each copy, and a row's bits must not depend on which copy it takes.
static __attribute__((noinline)) void finish_pair(const product *p, word unit, word pair) {
  const float *sums = sums_at(p, unit, pair, 0), *others = sums_at(p, unit, pair, 1);
  word outputs = p->gate->rows, first = first_row(p, unit), rows = rows_of(p, unit);
  for (word r = 0; r < rows; r++) {
    if (p->up) {
      word m = pair * PANEL_ROWS, count = outputs - m < PANEL_ROWS ? outputs - m : PANEL_ROWS;
      f32x16 gate = sum_of(p->gate, pair, sums + r * PANEL_ROWS), up = sum_of(p->up, pair, others + r * PANEL_ROWS);
      store_output(row_f32(p->output, first + r) + m, silu16(gate) * up, count, p->past);
      continue;
    }
    for (word which = 0; which < 2; which++) {
      word panel = 2 * pair + which, m = panel * PANEL_ROWS, count = outputs - m < PANEL_ROWS ? outputs - m : PANEL_ROWS;
      if (count <= 0) continue;
      f32x16 sum = sum_of(p->gate, panel, (which ? others : sums) + r * PANEL_ROWS);
      finish(p->epilogue, first + r, m, count, p->past, sum);
    }
  }
}

// Computes a unit, sums [pair][panel][row][16]. False when the run was cancelled. What comes after a block, in this unit or
// in the next one, is fetched meanwhile.
static bool run_unit(product *p, word unit, word next_unit) {
  word first = first_pair(p, unit), end = end_pair(p, unit), step = block_columns(p);
  word panel_sums = p->block_groups * p->x.step * PANEL_ROWS;
  if (p->x.way != BF16_TILES) memset(p->sums, 0, (size_t)((end - first) * 2 * panel_sums) * sizeof(float));
  for (word from = 0; from < p->x.columns; from += step) {
    bool last = from + step >= p->x.columns;
    for (word pair = first; pair < end; pair++) {
      if (cancelled(p->lane)) return false;
      word next_pair = pair + 1 < end ? pair + 1 : first, next_from = pair + 1 < end ? from : from + step;
      if (next_from >= p->x.columns) next_from = 0, next_pair = first_pair(p, next_unit);
      block block = {
          .x = &p->x, .format = p->gate->format, .from = from, .end = last ? p->x.columns : from + step,
          .first_group = first_row(p, unit) / p->x.step, .groups = divide_up(rows_of(p, unit), p->x.step),
          .scratch = p->scratch, .tile_shape = &p->tile_shape,
      };
      fetch_rows(p, &block, 2 * (pair - first), last ? next_unit : unit, from + step);
      for (int which = 0; which < 2; which++) {
        block.panels[which] = panel_of(p, pair, which);
        block.panels[which].next = panel_of(p, next_pair, which).values + bytes_at(p, next_from);
        block.panels[which].sums = sums_at(p, unit, pair, which);
      }
      multiply(&block);
    }
  }
  for (word pair = first; pair < end; pair++) finish_pair(p, unit, pair);
  return true;
}

static word claim_unit(const product *p) {
  word first, end;
  return claim(p->lane, 1, p->pair_blocks * p->row_blocks, 1, &first, &end) ? first : -1;
}

static void run_product(product *p) {
  const lane *lane = p->lane;
  place(p, workspace(lane), lane->program->fast, lane->count, lane->index);
  // A lane knows its next unit before it finishes one, so that memory never waits.
  word unit = claim_unit(p), group, end;
  if (unit >= 0) {
    panel panel = panel_of(p, first_pair(p, unit), 0);
    for (word i = 0; i < bytes_at(p, 256); i += 64) fetch(panel.values + i);
  }
  while (claim(lane, 0, divide_up(p->x.rows, p->x.step), 1, &group, &end)) prepare(&p->x, p->input, group);
  lane_barrier(lane);
  while (unit >= 0) {
    word next = claim_unit(p);
    if (!run_unit(p, unit, next < 0 ? unit : next)) break;
    unit = next;
  }
#if defined(__AVX512F__)
  _mm_sfence();
#endif
  end_tiles(&p->tile_shape);
}

static product plain(const matmul_operation *o, const lane *lane) {
  return (product){.lane = lane, .input = &o->input, .gate = &o->weight, .epilogue = o, .output = &o->output};
}

static product gated(const gated_matmul_operation *o, const lane *lane) {
  return (product){.lane = lane, .input = &o->input, .gate = &o->gate, .up = &o->up, .output = &o->output};
}

// output = gelu(input weightᵀ + bias) * scale + residual + table
void KERNEL(matmul)(const lane *lane) {
  product p = plain(&lane->operation->matmul, lane);
  run_product(&p);
}

// output = silu(input gateᵀ) * (input upᵀ)
void KERNEL(gated_matmul)(const lane *lane) {
  product p = gated(&lane->operation->gated_matmul, lane);
  run_product(&p);
}

word KERNEL(matmul_workspace)(const matmul_operation *operation, word fast, int lanes) {
  product p = plain(operation, NULL);
  return place(&p, NULL, fast, lanes, 0);
}

word KERNEL(gated_matmul_workspace)(const gated_matmul_operation *operation, word fast, int lanes) {
  product p = gated(operation, NULL);
  return place(&p, NULL, fast, lanes, 0);
}
