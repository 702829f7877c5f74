import type { GemvPlan } from "./gemv-plan.ts";
import { range } from "./product.ts";
import { lines } from "./wgsl.ts";

/** Quad `q` (vec4f) of input row `n` for a thread's chunk `u`. */
export const quadName = (u: number, n: number, q: number) => `x${u}_${n}_${q}`;

/** `fn name([start,] i) -> vec4f`: columns 4i … 4i + 3 of an array's row; zeros from column K on, with nothing read there. */
export function quadText(name: string, array: string, o: GemvPlan, started: boolean): string {
  const parameters = started ? "start: u32, i: u32" : "i: u32";
  if (!o.scalarInput) {
    const base = started ? "start / 4u + " : "";
    const inside = o.whole
      ? `return ${array}[${base}i];`
      : `let value = ${array}[${base}min(i, ${o.columns / 4 - 1}u)];
  return select(vec4f(), value, i < ${o.columns / 4}u);`;
    return `fn ${name}(${parameters}) -> vec4f {\n  ${inside}\n}`;
  }
  const base = started ? "start + " : "";
  const at = (j: number) => `${array}[${base}min(c + ${j}u, columns - 1u)]`;
  return `fn ${name}(${parameters}) -> vec4f {
  let c = i * 4u;
  let value = vec4f(${range(4).map(at).join(", ")});
  return select(vec4f(), value, vec4u(c) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}`;
}

/** Quads from row to row of what is staged. The one more has threads write and read different banks. */
const stagedStride = ({ round }: GemvPlan) => round + 1;

/** Workgroup memory for a round's quads: quad q of chunk c at [q, c]. */
export function declareStaged(o: GemvPlan): string {
  return o.staged ? `var<workgroup> staged: array<vec4f, ${o.rows * o.quads * stagedStride(o)}>;` : "";
}

/** Brings a round's quads into workgroup memory. */
export function stageInputs(o: GemvPlan): string {
  if (!o.staged) return "";
  const { rows, threads, round, quads, normalise } = o;
  return `
    if (first > 0u) { workgroupBarrier(); }
    for (var i = thread; i < ${round * quads}u; i += ${threads}u) {
      let c = i / ${quads}u;
      let q = i % ${quads}u;
      let at = first * ${quads}u + i;
      ${lines(
        rows,
        (n) => `{ let value = quad(start${n}, at);
      ${normalise ? `squares${n} += dot(value, value);` : ""}
      staged[(${n * quads}u + q) * ${stagedStride(o)}u + c] = value${normalise ? " * normQuad(at)" : ""}; }`,
      )}
    }
    workgroupBarrier();`;
}

/** Quads of every input row for a thread's chunk `u`; normalised, their squares added up. */
export function inputQuads(o: GemvPlan, u: number): string {
  const { rows, threads, quads } = o;
  return lines(rows, (n) =>
    lines(quads, (q) => {
      const x = quadName(u, n, q);
      if (o.staged)
        return `let ${x} = staged[${(n * quads + q) * stagedStride(o)}u + thread + ${u * threads}u];`;
      const at = `at${u} * ${quads}u + ${q}u`;
      if (!o.normalise) return `let ${x} = quad(start${n}, ${at});`;
      return `let raw_${x} = quad(start${n}, ${at});
    squares${n} += dot(raw_${x}, raw_${x});
    let ${x} = raw_${x} * normQuad(${at});`;
    }),
  );
}
