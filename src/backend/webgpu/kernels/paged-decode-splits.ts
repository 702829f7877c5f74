export const mostSplits = 128;

/**
 * Into how many parts to split the positions so that the workgroups fill a large GPU (on one NVIDIA H200 three for each
 * multiprocessor were best), none shorter than 64 positions. `longest`: the longest sequence.
 */
export function pagedDecodeSplits(
  { keyValueHeads }: { keyValueHeads: number },
  { rows, longest }: { rows: number; longest: number },
): number {
  const wanted = Math.ceil(384 / (rows * keyValueHeads));
  return Math.max(1, Math.min(wanted, Math.ceil(longest / 64), mostSplits));
}

/** Bytes of `partial`. */
export function pagedDecodePartialBytes(
  { heads, headSize }: { heads: number; headSize: number },
  { rows, splits }: { rows: number; splits: number },
): number {
  return splits === 1 ? 16 : rows * heads * splits * (headSize + 4) * 4;
}
