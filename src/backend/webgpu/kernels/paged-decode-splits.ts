export const mostSplits = 128;

/** Three workgroups for each multiprocessor of a large GPU. */
const manyWorkgroups = 384;

/**
 * Into how many parts to split the positions so that there are so many workgroups, none with less than 64 positions.
 * `longest`: the longest sequence.
 */
export function pagedDecodeSplits(
  { keyValueHeads }: { keyValueHeads: number },
  { rows, longest, workgroups = manyWorkgroups }: { rows: number; longest: number; workgroups?: number },
): number {
  const wanted = Math.ceil(workgroups / (rows * keyValueHeads));
  return Math.max(1, Math.min(wanted, Math.ceil(longest / 64), mostSplits));
}

/** Bytes of `partial`. */
export function pagedDecodePartialBytes(
  { heads, headSize }: { heads: number; headSize: number },
  { rows, splits }: { rows: number; splits: number },
): number {
  return splits === 1 ? 16 : rows * heads * splits * (headSize + 4) * 4;
}
