// The WebAssembly module: what its host calls. Every worker has an instance over the same memory, and a stack of its own
// in it. A module has the kernels of one variant.
#include "kernels.h"
#include "run.h"

extern const kernel_set KERNEL(kernels);

// One worker's part of a run: as many of them as `lanes` call it, each with its own index. 0, or the number of the
// operation that failed, or -1 when it was cancelled.
int internvl_walk(program *program, int index, int lanes) {
  walk(program, &KERNEL(kernels), index, lanes);
  return outcome(program);
}

// A run on the host's own thread, piece by piece, so that the host can attend to other things in between.
void internvl_begin(program *program) { begin(program); }
int internvl_step(program *program, int index) {
  run_operation(program, &KERNEL(kernels), index);
  return outcome(program);
}

void internvl_pack(const weight *weight, word first, word count, const void *rows, word source) {
  KERNEL(pack)(weight, first, count, rows, source);
}

size_t internvl_workspace_bytes(const program *program, int lanes) {
  return (size_t)workspace_bytes(program, &KERNEL(kernels), lanes);
}
