// The kernels of one variant, as the runner finds them.
#include "kernels.h"

static word workspace_bytes(const operation *operation, word fast, int lanes) {
  switch (operation->kind) {
    case MATMUL: return KERNEL(matmul_workspace)(&operation->matmul, fast, lanes);
    case GATED_MATMUL: return KERNEL(gated_matmul_workspace)(&operation->gated_matmul, fast, lanes);
    case ATTENTION: return KERNEL(attention_workspace)(&operation->attention, fast, lanes);
    case PAGED_ATTENTION: return KERNEL(paged_attention_workspace)(&operation->paged_attention, fast, lanes);
    case PICK_TOKENS: return KERNEL(pick_tokens_workspace)(&operation->pick_tokens, fast, lanes);
    default: return 0;
  }
}

const kernel_set KERNEL(kernels) = {
    .name = TEXT(VARIANT),
    .run = {
        [EMBED] = KERNEL(embed),
        [SCATTER_ROWS] = KERNEL(scatter_rows),
        [PATCHES] = KERNEL(patches),
        [MATMUL] = KERNEL(matmul),
        [GATED_MATMUL] = KERNEL(gated_matmul),
        [LAYER_NORM] = KERNEL(layer_norm),
        [RMS_NORM] = KERNEL(rms_norm),
        [ROTARY] = KERNEL(rotary),
        [ATTENTION] = KERNEL(attention),
        [PAGED_ATTENTION] = KERNEL(paged_attention),
        [GATHER_ROWS] = KERNEL(gather_rows),
        [PICK_TOKENS] = KERNEL(pick_tokens),
    },
    .workspace_bytes = workspace_bytes,
    .pack = KERNEL(pack),
};
