// What the host hands to the kernels: a list of operations over memory that it has placed. The same source is built as
// a shared library (threads are ours) and as WebAssembly (threads are the host's workers).
//
// Every field is a 64-bit word, so that JavaScript writes a program as one BigInt64Array; an address is a pointer, or
// in WebAssembly an offset into its memory; 0 is "absent". Floats travel as the bits of a double.
#ifndef INTERNVL_PROGRAM_H
#define INTERNVL_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int64_t word;

#define AT(type, address) ((type *)(uintptr_t)(address))

static inline double number(word bits) {
  union { word bits; double value; } both = {.bits = bits};
  return both.value;
}

// A matrix: row r, column c is element [r * stride + c]. Elements are f32, u32 or u8, as the operation says.
typedef struct { word address, rows, columns, stride; } tensor;

static inline float *row_f32(const tensor *t, word r) { return AT(float, t->address) + r * t->stride; }
static inline uint32_t *row_u32(const tensor *t, word r) { return AT(uint32_t, t->address) + r * t->stride; }

// How a weight [rows, columns] lies in memory. See pack.h for the panel formats.
typedef enum { PANEL_F32, PANEL_BF16, PANEL_INT8, PANEL_INT4, ROWS_F32, ROWS_BF16, ROWS_F16 } weight_format;

typedef struct { word address, scales, rows, columns, format; } weight;

// Keys and values: [page][layer][key, value], and in each of these [slot of the page][key_value_heads * head_size] in
// the order that cache.h gives.
typedef struct { word address, layers, page_size, key_value_heads, head_size, bf16; } key_value_cache;

typedef enum {
  EMBED, SCATTER_ROWS, PATCHES, MATMUL, GATED_MATMUL, LAYER_NORM, RMS_NORM, ROTARY, ATTENTION, PAGED_ATTENTION,
  GATHER_ROWS, PICK_TOKENS, KINDS
} kind;

typedef struct { weight table; tensor ids, output; } embed_operation;
typedef struct { tensor target, source, rows; } scatter_rows_operation;
// mean and deviation are numbers: value = (u8 / 255 - mean[c]) / deviation[c].
typedef struct { tensor tiles, output; word tile_size, patch_size, mean[3], deviation[3]; } patches_operation;
// bias and scale are f32 [weight.rows]; table is f32 [table.rows, weight.rows]; an absent tensor has address 0.
typedef struct { tensor input, residual, table, output; weight weight; word bias, scale, gelu; } matmul_operation;
typedef struct { tensor input, output; weight gate, up; } gated_matmul_operation;
typedef struct { tensor input, output; word weight, bias, epsilon; } layer_norm_operation;
typedef struct { tensor input, output; word weight, epsilon; } rms_norm_operation;
typedef struct { tensor query, key, value, angles, slots, output; key_value_cache cache; word layer, heads; } rotary_operation;
typedef struct { tensor query, key, value, output; word heads, head_size, group_rows; } attention_operation;
typedef struct { tensor query, starts, lengths, pages, output; key_value_cache cache; word layer, heads; } paged_attention_operation;
typedef struct { tensor input, rows, output; } gather_rows_operation;
typedef struct { tensor logits, settings, penalised, suppressed, tokens, scores; } pick_tokens_operation;

#define OPERATION_WORDS 64

typedef struct {
  word kind;
  union {
    embed_operation embed;
    scatter_rows_operation scatter_rows;
    patches_operation patches;
    matmul_operation matmul;
    gated_matmul_operation gated_matmul;
    layer_norm_operation layer_norm;
    rms_norm_operation rms_norm;
    rotary_operation rotary;
    attention_operation attention;
    paged_attention_operation paged_attention;
    gather_rows_operation gather_rows;
    pick_tokens_operation pick_tokens;
    word words[OPERATION_WORDS - 8];
  };
  // Work of this operation that was handed out, one counter a phase; zero at the start of a run.
  _Atomic word claimed[4];
  // Nanoseconds it took in the last run.
  word nanoseconds;
  word padding[2];
} operation;

_Static_assert(sizeof(operation) == OPERATION_WORDS * sizeof(word), "an operation is 64 words");

typedef struct {
  word count;
  word operations;       // operation[count]
  word workspace;        // at least workspace_bytes(program), 64-byte aligned
  word fast;             // operands of matrix products may be rounded to bf16
  _Atomic word cancel;   // set by the host: the run ends at the next operation or claim
  _Atomic word failed;   // an operation met what it must not (an id beyond the table): its index + 1
  _Atomic word arrived;  // of the barrier
  _Atomic word round;    // of the barrier
  _Atomic word asleep;   // lanes that wait at the barrier without looking (WebAssembly)
  word padding[7];
} program;

// One of `count` threads that walk a program together, operation by operation.
typedef struct { program *program; operation *operation; int index, count; } lane;

// Waits until every lane is here.
void lane_barrier(const lane *lane);

// Hands out a piece of the phase's `total` units, at most `size` of them, to whichever lane asks first. False when
// there is nothing left, or the run was cancelled.
static inline bool claim(const lane *lane, int phase, word total, word size, word *first, word *end) {
  if (atomic_load_explicit(&lane->program->cancel, memory_order_relaxed)) return false;
  *first = atomic_fetch_add_explicit(&lane->operation->claimed[phase], size, memory_order_relaxed);
  *end = *first + size < total ? *first + size : total;
  return *first < total;
}

static inline void *workspace(const lane *lane) { return AT(void, lane->program->workspace); }

typedef void kernel(const lane *lane);

// A set of kernels for one kind of processor.
typedef struct {
  const char *name;
  kernel *run[KINDS];
  // Bytes of workspace that an operation needs, which differs between variants.
  word (*workspace_bytes)(const operation *operation, word fast, int lanes);
  // Packs rows of a checkpoint tensor into a weight, at load: see pack.c.
  void (*pack)(const weight *weight, word first, word count, const void *rows, word source);
} kernel_set;

#endif
