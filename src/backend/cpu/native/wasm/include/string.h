// The part of <string.h> that the kernels use, for WebAssembly.
#ifndef INTERNVL_WASM_STRING_H
#define INTERNVL_WASM_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

#endif
