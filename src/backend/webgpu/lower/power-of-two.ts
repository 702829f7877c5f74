/** The least power of two that is not smaller: what is found by trial holds for all numbers that share theirs. */
export function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}
