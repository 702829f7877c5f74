import { range } from "./product.ts";
import { lines } from "./wgsl.ts";

/**
 * Attention for every device, f32 throughout: an invocation takes one query row (of heads over 96 columns, one half of
 * its output), keeps query and sums in registers and walks over the keys, `unroll` at a time, with a running maximum
 * (Dao et al. 2022, arXiv 2205.14135). Invocations of a workgroup walk over the same keys, so reads meet in the cache;
 * there is no workgroup memory and no barrier, which cost software adapters most.
 */
export interface PortableFlashParts {
  readonly headSize: number;
  readonly unroll: number;
  /**
   * Keeps compilers from unrolling the loops over columns: those of software adapters take seconds to minutes over it,
   * while a GPU needs it to keep the columns in registers.
   */
  readonly rolled: boolean;
  /**
   * Defines `count` (keys this row sees) from `row`, and returns from `main` where the row is none. `queryAt`: an
   * expression of the vec4f at quarter i of the row; `place`: of where key and value of position `p` begin; `keyAt` and
   * `valueAt`: of their quarter i (text).
   */
  readonly begin: string;
  readonly queryAt: (i: string) => string;
  readonly place: (position: string) => string;
  readonly keyAt: (place: string, i: string) => string;
  readonly valueAt: (place: string, i: string) => string;
  /** Stores the vec4f `value` at quarter i. */
  readonly store: (i: string, value: string) => string;
}

export const portableThreads = 64;

/** Invocations that share a query row. */
export const portableHalves = (headSize: number) => (headSize > 96 ? 2 : 1);

/** The body of `main`, after `row` and `half` are defined. */
export function portableFlash(parts: PortableFlashParts): string {
  const { headSize, unroll, rolled, begin, queryAt, place, keyAt, valueAt, store } = parts;
  const quarters = headSize / 4;
  const own = quarters / portableHalves(headSize);
  const column = own === quarters ? "i" : `half * ${own}u + i`;
  const sum = (term: (u: number) => string) => range(unroll).map(term).join(" + ");
  const bound = (value: number) => (rolled ? `${value}u + (count >> 31u)` : `${value}u`);
  return `${begin}
let quarters = ${bound(quarters)};
let own = ${bound(own)};
const factor = ${Math.fround(Math.LOG2E / Math.sqrt(headSize))}f;
var q = array<vec4f, ${quarters}>();
for (var i = 0u; i < quarters; i++) { q[i] = ${queryAt("i")} * factor; }
var o = array<vec4f, ${own}>();
var largest = -3e38f;
var total = 0.0;
for (var first = 0u; first < count; first += ${unroll}u) {
  ${lines(unroll, (u) => `let at${u} = ${place(u === 0 ? "first" : `min(first + ${u}u, count - 1u)`)};\n  var s${u} = 0.0;`)}
  for (var i = 0u; i < quarters; i++) {
    ${lines(unroll, (u) => `s${u} += dot(q[i], ${keyAt(`at${u}`, "i")});`)}
  }
  ${lines(unroll - 1, (u) => `s${u + 1} = select(-3e38f, s${u + 1}, first + ${u + 1}u < count);`)}
  let most = ${range(unroll).reduce((inner, u) => `max(${inner}, s${u})`, "largest")};
  let kept = exp2(largest - most);
  largest = most;
  ${lines(unroll, (u) => `s${u} = exp2(s${u} - most);`)}
  total = total * kept + (${sum((u) => `s${u}`)});
  for (var i = 0u; i < own; i++) {
    o[i] = o[i] * kept + (${sum((u) => `s${u} * ${valueAt(`at${u}`, column)}`)});
  }
}
for (var i = 0u; i < own; i++) { ${store(column, "o[i] / total")} }`;
}
