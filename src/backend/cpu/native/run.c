#include "run.h"

#ifdef __wasm__
__attribute__((import_module("host"), import_name("nanoseconds"))) double host_nanoseconds(void);
static word nanoseconds_now(void) { return (word)host_nanoseconds(); }
// Falling asleep and waking up takes longer than most operations of a decode step: so many looks take about as long.
enum { LOOKS = 1 << 14 };
static void relax(program *program, word round, int spins) {
  if (spins < LOOKS) return;
  // Whoever ends the round later sees this lane; whoever ended it before has changed what it waits for.
  atomic_fetch_add(&program->asleep, 1);
  __builtin_wasm_memory_atomic_wait32((int32_t *)&program->round, (int32_t)round, -1);
  atomic_fetch_sub(&program->asleep, 1);
}
static void wake(program *program) {
  if (atomic_load(&program->asleep) == 0) return;
  __builtin_wasm_memory_atomic_notify((int32_t *)&program->round, 1 << 16);
}
#else
#include <sched.h>
#include <time.h>
static word nanoseconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}
static void relax(program *program, word round, int spins) {
  (void)program;
  (void)round;
  if (spins > 2000) sched_yield();
#if defined(__x86_64__)
  else __builtin_ia32_pause();
#endif
}
static void wake(program *program) { (void)program; }
#endif

void lane_barrier(const lane *lane) {
  program *program = lane->program;
  word round = atomic_load(&program->round);
  if (atomic_fetch_add(&program->arrived, 1) == lane->count - 1) {
    atomic_store(&program->arrived, 0);
    atomic_fetch_add(&program->round, 1);
    wake(program);
    return;
  }
  for (int spins = 0; atomic_load(&program->round) == round; spins++) relax(program, round, spins);
}

void begin(program *program) {
  operation *operations = AT(operation, program->operations);
  atomic_store(&program->failed, 0);
  for (word i = 0; i < program->count; i++) {
    for (int phase = 0; phase < 4; phase++) atomic_store(&operations[i].claimed[phase], 0);
  }
}

void walk(program *program, const kernel_set *kernels, int index, int count) {
  operation *operations = AT(operation, program->operations);
  lane lane = {.program = program, .operation = operations, .index = index, .count = count};
  if (index == 0) begin(program);
  lane_barrier(&lane);
  word before = nanoseconds_now();
  for (word i = 0; i < program->count; i++) {
    lane.operation = &operations[i];
    kernels->run[operations[i].kind](&lane);
    lane_barrier(&lane);
    if (index == 0) {
      word now = nanoseconds_now();
      operations[i].nanoseconds = now - before;
      before = now;
    }
  }
}

void run_operation(program *program, const kernel_set *kernels, word index) {
  operation *at = AT(operation, program->operations) + index;
  lane lane = {.program = program, .operation = at, .index = 0, .count = 1};
  word before = nanoseconds_now();
  kernels->run[at->kind](&lane);
  at->nanoseconds = nanoseconds_now() - before;
}

int outcome(program *program) {
  return atomic_load(&program->cancel) ? -1 : (int)atomic_load(&program->failed);
}

word workspace_bytes(const program *program, const kernel_set *kernels, int lanes) {
  const operation *operations = AT(operation, program->operations);
  word most = 0;
  for (word i = 0; i < program->count; i++) {
    word bytes = kernels->workspace_bytes(&operations[i], program->fast, lanes);
    if (bytes > most) most = bytes;
  }
  return most;
}
