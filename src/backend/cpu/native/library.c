// The shared library: which variants this processor runs, the threads, memory, and runs on the caller's thread.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "run.h"

#if defined(__x86_64__)
extern const kernel_set kernels_baseline, kernels_avx2, kernels_avx512, kernels_avx512bf16, kernels_amx;
static const kernel_set *const variants[] = {&kernels_baseline, &kernels_avx2, &kernels_avx512, &kernels_avx512bf16,
                                             &kernels_amx};

// The kernel lets a process use the matrix tiles only when it asks.
static bool tiles_allowed(void) {
#if defined(__linux__)
  return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
#else
  return false;
#endif
}

static bool leaf7(int subleaf, int register_index, int bit) {
  unsigned a = 7, b, c = (unsigned)subleaf, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  unsigned registers[] = {a, b, c, d};
  return registers[register_index] >> bit & 1;
}

// gcc's own check looks at what the operating system saves, too.
static bool usable(int variant) {
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  bool bf16 = avx512 && leaf7(1, 0, 5) && __builtin_cpu_supports("avx512vnni");
  switch (variant) {
    case 0: return true;
    case 1: return avx2;
    case 2: return avx512;
    case 3: return bf16;
    default: return bf16 && leaf7(0, 3, 22) && leaf7(0, 3, 24) && leaf7(0, 3, 25) && tiles_allowed();
  }
}
#else
extern const kernel_set kernels_baseline;
static const kernel_set *const variants[] = {&kernels_baseline};
static bool usable(int variant) { return variant == 0; }
#endif

int internvl_variants(void) { return sizeof variants / sizeof *variants; }
const char *internvl_variant_name(int variant) { return variants[variant]->name; }
int internvl_variant_usable(int variant) { return usable(variant); }

// The threads wait here between runs.
static struct {
  pthread_mutex_t one_run;  // held during a run
  pthread_mutex_t mutex;
  pthread_cond_t begin;
  program *program;
  const kernel_set *kernels;
  int lanes, started;
  word run;
  _Atomic int left;  // helpers that will not touch the program of this run any more
} pool = {.one_run = PTHREAD_MUTEX_INITIALIZER, .mutex = PTHREAD_MUTEX_INITIALIZER, .begin = PTHREAD_COND_INITIALIZER};

static void *helper(void *argument) {
  int index = (int)(intptr_t)argument;
  word seen = 0;
  for (;;) {
    pthread_mutex_lock(&pool.mutex);
    while (pool.run == seen) pthread_cond_wait(&pool.begin, &pool.mutex);
    seen = pool.run;
    program *program = pool.program;
    const kernel_set *kernels = pool.kernels;
    int lanes = pool.lanes;
    pthread_mutex_unlock(&pool.mutex);
    if (index < lanes) {
      walk(program, kernels, index, lanes);
      atomic_fetch_add(&pool.left, 1);
    }
  }
  return NULL;
}

// Runs a program with `lanes` threads, the caller's among them. 0, or the number of the operation that failed, or -1 when
// it was cancelled.
int internvl_run(program *program, int variant, int lanes) {
  pthread_mutex_lock(&pool.one_run);
  pthread_mutex_lock(&pool.mutex);
  while (pool.started < lanes - 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, helper, (void *)(intptr_t)(pool.started + 1)) != 0) break;
    pthread_detach(thread);
    pool.started++;
  }
  int count = pool.started + 1 < lanes ? pool.started + 1 : lanes;
  pool.program = program;
  pool.kernels = variants[variant];
  pool.lanes = count;
  atomic_store(&pool.left, 0);
  pool.run++;
  pthread_cond_broadcast(&pool.begin);
  pthread_mutex_unlock(&pool.mutex);
  walk(program, variants[variant], 0, count);
  // The host may free the program as soon as this returns.
  while (atomic_load(&pool.left) < count - 1) sched_yield();
  int result = outcome(program);
  pthread_mutex_unlock(&pool.one_run);
  return result;
}

word internvl_workspace_bytes(const program *program, int variant, int lanes) {
  return workspace_bytes(program, variants[variant], lanes);
}

void internvl_pack(int variant, const weight *weight, word first, word count, const void *rows, word source) {
  variants[variant]->pack(weight, first, count, rows, source);
}

// Zeroed memory, aligned to 64 bytes; large blocks ask for huge pages. NULL when there is none.
void *internvl_allocate(word bytes) {
#if defined(__linux__)
  if (bytes >= 1 << 21) {
    void *block = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
    madvise(block, (size_t)bytes, MADV_HUGEPAGE);
    return block;
  }
#endif
  void *block = NULL;
  if (posix_memalign(&block, 64, bytes > 0 ? (size_t)bytes : 64) != 0) return NULL;
  memset(block, 0, (size_t)bytes);
  return block;
}

// `bytes` must be what the block was allocated with.
void internvl_free(void *block, word bytes) {
#if defined(__linux__)
  if (bytes >= 1 << 21) {
    munmap(block, (size_t)bytes);
    return;
  }
#endif
  free(block);
}
