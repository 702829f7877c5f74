// What this processor can do at most: how fast its threads read memory together, and how fast they multiply and add with
// everything in registers. A benchmark holds the kernels against these. Compiled for each variant; the host finds the
// functions by their names, internvl_read_rate_avx2 and so on. WebAssembly has wasm_limits.c.
#ifndef __wasm__
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels.h"

void *internvl_allocate(word bytes);
void internvl_free(void *block, word bytes);

enum { MOST_LANES = 256 };

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// One lane's part of a measurement.
typedef struct share {
  double (*work)(const struct share *share);  // returns its rate, per second
  uint8_t *bytes;                             // reading: this lane's part of the buffer
  word count;
  double seconds;                             // multiplying: how long
  double rate;
  _Atomic int *go;
} share;

static void *lane_main(void *argument) {
  share *share = argument;
  while (!atomic_load(share->go)) sched_yield();
  share->rate = share->work(share);
  return NULL;
}

// All lanes at once, the caller's thread among them: the sum of their rates.
static double together(share *shares, int lanes) {
  pthread_t threads[MOST_LANES];
  _Atomic int go = 0;
  int begun = 1;
  for (int i = 0; i < lanes; i++) shares[i].go = &go;
  while (begun < lanes && pthread_create(&threads[begun], NULL, lane_main, &shares[begun]) == 0) begun++;
  atomic_store(&go, 1);
  lane_main(&shares[0]);
  double sum = shares[0].rate;
  for (int i = 1; i < begun; i++) {
    pthread_join(threads[i], NULL);
    sum += shares[i].rate;
  }
  return sum;
}

typedef uint64_t line __attribute__((vector_size(64)));

// Pages that were never written, or are all alike, may be one and the same page, which a cache holds.
static double write_all(const share *share) {
  uint64_t *words = (uint64_t *)share->bytes;
  for (word i = 0; i < share->count / 8; i++) words[i] = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
  return 0;
}

static double read_all(const share *share) {
  const line *from = (const line *)share->bytes;
  word lines = share->count / (word)sizeof(line);
  line seen[4] = {0};
  double begin = seconds_now();
  for (word i = 0; i + 4 <= lines; i += 4) {
    for (int k = 0; k < 4; k++) seen[k] ^= from[i + k];
  }
  double seconds = seconds_now() - begin;
  seen[0] ^= seen[1] ^ seen[2] ^ seen[3];
  __asm__ volatile("" : : "r"(&seen[0]) : "memory");
  return (double)share->count / seconds;
}

// Bytes a second that `lanes` threads read of a buffer of `bytes`: the best of `passes`. 0 when there is no memory.
double JOIN(internvl_read_rate, VARIANT)(word bytes, int lanes, int passes) {
  lanes = lanes < 1 ? 1 : lanes > MOST_LANES ? MOST_LANES : lanes;
  word part = bytes / lanes / 4096 * 4096;
  uint8_t *buffer = internvl_allocate(part * lanes);
  if (!buffer) return 0;
  share shares[MOST_LANES];
  for (int i = 0; i < lanes; i++) shares[i] = (share){.work = write_all, .bytes = buffer + part * i, .count = part};
  together(shares, lanes);
  for (int i = 0; i < lanes; i++) shares[i].work = read_all;
  double best = 0;
  for (int pass = 0; pass < passes; pass++) {
    double rate = together(shares, lanes);
    if (rate > best) best = rate;
  }
  internvl_free(buffer, part * lanes);
  return best;
}

// Products that keep `ROUNDS` registers (or tiles) of sums busy, as many as hide how long one takes.
#if defined(__AVX512F__)
typedef float sums __attribute__((vector_size(64)));
#define OPAQUE(v) __asm__ volatile("" : "+v"(v))
#elif defined(__AVX2__)
typedef float sums __attribute__((vector_size(32)));
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))
#elif defined(__x86_64__)
typedef float sums __attribute__((vector_size(16)));
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))
#else
typedef float sums __attribute__((vector_size(16)));
#define OPAQUE(v) __asm__ volatile("" : "+w"(v))
#endif

#if defined(__x86_64__)
enum { ROUNDS = 12 };
#else
enum { ROUNDS = 24 };
#endif

enum { BLOCK = 4096 };  // steps between two looks at the clock

// Runs STEP, which does OPERATIONS multiplications and additions, until the time is over.
#define RATE(OPERATIONS, ...)                             \
  double begin = seconds_now(), passed, done = 0;         \
  do {                                                    \
    for (int step = 0; step < BLOCK; step++) __VA_ARGS__  \
    done += (double)BLOCK * (OPERATIONS);                 \
    passed = seconds_now() - begin;                       \
  } while (passed < share->seconds);                      \
  double rate = done / passed;

static double f32_rate(const share *share) {
  sums total[ROUNDS] = {0}, a = (sums){0} + 1.0f, b = (sums){0} + 1e-3f;
  RATE(2.0 * ROUNDS * sizeof(sums) / sizeof(float), {
    for (int i = 0; i < ROUNDS; i++) {
      OPAQUE(a);  // or the product would be taken once for all
      total[i] += a * b;
    }
  })
  for (int i = 0; i < ROUNDS; i++) OPAQUE(total[i]);
  return rate;
}

#if defined(__AMX_TILE__)
// Two tiles of operands, six of sums, each 16 rows of 64 bytes.
static void tiles_begin(void) {
  struct { uint8_t palette, start, zeros[14]; uint16_t width[16]; uint8_t rows[16]; } layout = {.palette = 1};
  static const uint8_t ones[1024] = {1};
  for (int i = 0; i < 8; i++) layout.width[i] = 64, layout.rows[i] = 16;
  _tile_loadconfig(&layout);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_loadd(6, ones, 64);
  _tile_loadd(7, ones, 64);
}

static double bf16_rate(const share *share) {
  tiles_begin();
  RATE(6 * 2.0 * 16 * 16 * 32, {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
    _tile_dpbf16ps(4, 6, 7);
    _tile_dpbf16ps(5, 6, 7);
  })
  _tile_release();
  return rate;
}

static double int8_rate(const share *share) {
  tiles_begin();
  RATE(6 * 2.0 * 16 * 16 * 64, {
    _tile_dpbssd(0, 6, 7);
    _tile_dpbssd(1, 6, 7);
    _tile_dpbssd(2, 6, 7);
    _tile_dpbssd(3, 6, 7);
    _tile_dpbssd(4, 6, 7);
    _tile_dpbssd(5, 6, 7);
  })
  _tile_release();
  return rate;
}
#elif defined(__AVX512BF16__)
static double bf16_rate(const share *share) {
  __m512 total[ROUNDS];
  __m512i a = _mm512_set1_epi16(0x3f80), b = _mm512_set1_epi16(0x3a83);
  for (int i = 0; i < ROUNDS; i++) total[i] = _mm512_setzero_ps();
  RATE(2.0 * ROUNDS * 32, {
    OPAQUE(a);
    for (int i = 0; i < ROUNDS; i++) total[i] = _mm512_dpbf16_ps(total[i], (__m512bh)a, (__m512bh)b);
  })
  for (int i = 0; i < ROUNDS; i++) OPAQUE(total[i]);
  return rate;
}

static double int8_rate(const share *share) {
  __m512i total[ROUNDS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
  for (int i = 0; i < ROUNDS; i++) total[i] = _mm512_setzero_si512();
  RATE(2.0 * ROUNDS * 64, {
    OPAQUE(a);
    for (int i = 0; i < ROUNDS; i++) total[i] = _mm512_dpbusd_epi32(total[i], a, b);
  })
  for (int i = 0; i < ROUNDS; i++) OPAQUE(total[i]);
  return rate;
}
#else
#define bf16_rate NULL
#define int8_rate NULL
#endif

// Multiplications and additions a second of `lanes` threads in this variant's products of numbers of a kind (0 f32, 1
// bf16, 2 int8): the best of `passes` of so many seconds. 0 where it has no instruction for them.
double JOIN(internvl_product_rate, VARIANT)(int kind, int lanes, double seconds, int passes) {
  double (*const work[])(const share *) = {f32_rate, bf16_rate, int8_rate};
  if (kind < 0 || kind > 2 || !work[kind]) return 0;
  lanes = lanes < 1 ? 1 : lanes > MOST_LANES ? MOST_LANES : lanes;
  share shares[MOST_LANES];
  for (int i = 0; i < lanes; i++) shares[i] = (share){.work = work[kind], .seconds = seconds};
  double best = 0;
  for (int pass = 0; pass < passes; pass++) {
    double rate = together(shares, lanes);
    if (rate > best) best = rate;
  }
  return best;
}
#endif
