// The part of <stdlib.h> that the kernels use, for WebAssembly. There is no malloc: kernels ask for workspace.
#ifndef INTERNVL_WASM_STDLIB_H
#define INTERNVL_WASM_STDLIB_H

#include <stddef.h>

void qsort(void *values, size_t count, size_t size, int (*order)(const void *, const void *));

#endif
