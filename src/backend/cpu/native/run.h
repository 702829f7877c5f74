// Walking a program, and the threads that do it together.
#ifndef INTERNVL_RUN_H
#define INTERNVL_RUN_H

#include "program.h"

// One lane's walk through all operations; every lane of a run calls it. `lane_count` lanes must take part.
void walk(program *program, const kernel_set *kernels, int lane_index, int lane_count);

#endif
