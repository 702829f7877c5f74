/**
 * The position table of the vision tower for a grid of another size than it was made for: torch's
 * `interpolate(mode="bicubic", align_corners=False)`, as `_get_pos_embed` of modeling_intern_vit.py calls it. Kernel
 * a = -0.75, half-pixel centres, no antialiasing, indices clamped at the border. (Pillow's bicubic is another one.)
 *
 * @param table `[from * from, width]`, patches row-major.
 * @returns `[to * to, width]`; the same values when `from` equals `to`.
 */
export function interpolatePositions(
  table: Float32Array,
  from: number,
  to: number,
  width: number,
): Float32Array {
  if (from === to) return table;
  const taps = Array.from({ length: to }, (_, at) => cubicTaps(at, from, to));
  const output = new Float32Array(to * to * width);
  for (let y = 0; y < to; y++) {
    for (let x = 0; x < to; x++) {
      for (let c = 0; c < width; c++) {
        let sum = 0;
        for (const [row, rowWeight] of taps[y]) {
          for (const [column, columnWeight] of taps[x]) {
            sum += rowWeight * columnWeight * table[(row * from + column) * width + c];
          }
        }
        output[(y * to + x) * width + c] = sum;
      }
    }
  }
  return output;
}

/** The four source indices that output index `at` reads, each with its weight. */
function cubicTaps(at: number, from: number, to: number): [index: number, weight: number][] {
  const centre = (at + 0.5) * (from / to) - 0.5;
  const base = Math.floor(centre);
  return [-1, 0, 1, 2].map((step) => {
    const index = Math.min(Math.max(base + step, 0), from - 1);
    return [index, cubic(Math.abs(centre - base - step))];
  });
}

/** Keys' cubic convolution with a = -0.75, at a distance below 2. */
function cubic(x: number): number {
  const a = -0.75;
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}
