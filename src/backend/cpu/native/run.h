// Walking a program, and the threads that do it together.
#ifndef INTERNVL_RUN_H
#define INTERNVL_RUN_H

#include "program.h"

// One lane's walk through all operations; every lane of a run calls it. `lane_count` lanes must take part.
void walk(program *program, const kernel_set *kernels, int lane_index, int lane_count);

// The same on one thread, operation by operation: `begin`, then each in turn.
void begin(program *program);
void run_operation(program *program, const kernel_set *kernels, word index);

// How a run went: 0, or the number of the operation that failed, or -1 when it was cancelled.
int outcome(program *program);

// Bytes of workspace that a program needs.
word workspace_bytes(const program *program, const kernel_set *kernels, int lanes);

#endif
