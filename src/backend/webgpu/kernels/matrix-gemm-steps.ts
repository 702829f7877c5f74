import { fetch, stageLeft, stageRight } from "./matrix-gemm-operands.ts";
import { plan, type TiledOptions } from "./matrix-gemm-plan.ts";
import { lines } from "./wgsl.ts";

/** All steps along K: the first loads, then the loop. Where only the upper half of the tile is inside, the loop over that. */
export function stepsText(o: TiledOptions): string {
  const { tile } = o;
  const { canHalve, steps } = plan(o);
  const loop = (share: number) => `for (var step = 0u; step < ${steps}u; step += ${tile.ahead}u) {
    ${lines(tile.ahead, (s) => stepText(o, s, share))}
  }`;
  return `{
    let step = 0u;
    ${lines(tile.ahead, (set) => fetchAhead(o, set, set, 1))}
  }
  ${canHalve ? `if (firstRow + ${tile.rows / 2}u >= sizes.rows) { ${loop(0.5)} } else { ${loop(1)} }` : loop(1)}`;
}

/** One tile in workgroup memory: filled, a barrier, multiplied, a barrier. */
function stepText(o: TiledOptions, s: number, share: number): string {
  const { ahead } = o.tile;
  const { leftWords, steps } = plan(o);
  const work = `${stageLeft(o, s, "0u", share)}
    ${stageRight(o, s, `${leftWords}u`)}
    workgroupBarrier();
    ${fetchAhead(o, s, s + ahead, share)}
    ${multiply(o, share)}
    workgroupBarrier();`;
  return s === 0 || steps % ahead === 0 ? work : `if (step + ${s}u < ${steps}u) {${work}}`;
}

/** The last steps fetch the last one again: a branch would keep the compiler from moving loads between products. */
function fetchAhead(o: TiledOptions, set: number, ahead: number, share: number): string {
  return `{ let next = min(step + ${ahead}u, ${plan(o).steps - 1}u);
      ${fetch(o, set, "next", share)}
    }`;
}

function multiply(o: TiledOptions, share: number): string {
  const { tile, fragments: f } = o;
  const { stride, leftWords, fragmentsDown, fragmentsAcross } = plan(o);
  const down = fragmentsDown * share;
  const leftStep = 16 * tile.down * stride;
  return lines(
    tile.depth / 16 / tile.along,
    (k) => `{
      ${lines(down, (i) => f.left(`a${i}`, "tiles", `leftFragment + ${i * leftStep + k * 2}u`, stride))}
      ${lines(fragmentsAcross, (j) => f.right(`b${j}`, "tiles", `rightFragment + ${leftWords + j * 16 * stride + k * 2}u`, stride, "column"))}
      ${lines(down, (i) => lines(fragmentsAcross, (j) => f.multiply(`c${i}_${j}`, `a${i}`, `b${j}`)))}
    }`,
  );
}
