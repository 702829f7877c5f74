// Every kernel file is compiled once for each kind of processor ("variant"), with VARIANT set to its name and the
// compiler told what that processor can do. KERNEL(matmul) is then matmul_avx2, matmul_amx, ….
#ifndef INTERNVL_KERNELS_H
#define INTERNVL_KERNELS_H

#include "program.h"

#define JOIN_AGAIN(name, variant) name##_##variant
#define JOIN(name, variant) JOIN_AGAIN(name, variant)
#define KERNEL(name) JOIN(name, VARIANT)
#define TEXT_AGAIN(name) #name
#define TEXT(name) TEXT_AGAIN(name)

kernel KERNEL(embed), KERNEL(scatter_rows), KERNEL(patches), KERNEL(matmul), KERNEL(gated_matmul), KERNEL(layer_norm),
    KERNEL(rms_norm), KERNEL(rotary), KERNEL(attention), KERNEL(paged_attention), KERNEL(gather_rows), KERNEL(pick_tokens);

word KERNEL(matmul_workspace)(const matmul_operation *operation, word fast, int lanes);
word KERNEL(gated_matmul_workspace)(const gated_matmul_operation *operation, word fast, int lanes);
word KERNEL(attention_workspace)(const attention_operation *operation, word fast, int lanes);
word KERNEL(paged_attention_workspace)(const paged_attention_operation *operation, word fast, int lanes);
word KERNEL(pick_tokens_workspace)(const pick_tokens_operation *operation, word fast, int lanes);

void KERNEL(pack)(const weight *weight, word first, word count, const void *rows, word source);

#endif
