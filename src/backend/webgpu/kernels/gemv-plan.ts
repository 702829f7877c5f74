import { type ProductOptions, range, type WeightFormat, weightLayout, weightsPerWord } from "./product.ts";

/** See `gemv`. */
export interface GemvOptions extends ProductOptions {
  /** Most rows of the input. */
  readonly rows: number;
  readonly normalise?: { readonly epsilon: number };
  readonly scalarInput?: boolean;
  readonly threads?: number;
  /** Outputs of a workgroup; with `gated` as many gates and as many ups. */
  readonly together?: number;
  /** u32 of a weight that a thread loads at once. */
  readonly words?: 1 | 2 | 4;
  /** Such loads of a row that a thread has under way. */
  readonly unroll?: number;
  readonly staged?: boolean;
  readonly decode?: Decode;
  /** Of how many weights that come next pages are looked up: see look-ahead.ts. */
  readonly looksAhead?: number;
}

/**
 * How integers become floats. "convert": by conversion. "magic": as the low bits of a float. "half": two at a time as
 * the low bits of f16 numbers. "bits": int4 as high bits of a float, 128 or 2048 too large: that much of the inputs' sum
 * is taken off beforehand, at the cost of some digits (2e-5 of the result).
 */
export type Decode = "convert" | "magic" | "half" | "bits";

type Complete = Required<Omit<GemvOptions, "normalise" | "epilogue" | "looksAhead">> &
  Pick<GemvOptions, "normalise" | "epilogue" | "looksAhead">;

type Variant = Pick<Complete, "together" | "words" | "staged" | "decode">;

/** What has been fastest, format by format: SPEED.md. */
const defaults: Readonly<Record<WeightFormat, Variant & { readonly mostThreads: number }>> = {
  f32: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  f16: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  bf16: { together: 2, words: 4, staged: false, decode: "convert", mostThreads: 256 },
  int8: { together: 4, words: 2, staged: false, decode: "convert", mostThreads: 256 },
  int4: { together: 4, words: 2, staged: false, decode: "half", mostThreads: 128 },
};

/** Sums of a thread: more of them crowd its registers. */
const mostSums = 8;
/** u32 of weights that a thread may have under way. */
const mostWords = 64;
/** Bytes of inputs in workgroup memory. */
const mostStaged = 30000;

/** Options with nothing left to be chosen, and numbers of the kernel that follow from them. */
export interface GemvPlan extends Complete {
  readonly paddedColumns: number;
  /** Columns that a thread reads of a row of the weight at once, as one load; and quads (vec4f) of the input for them. */
  readonly chunk: number;
  readonly quads: number;
  /** Chunks in a row of the weight, and those that a workgroup takes at a time. */
  readonly chunks: number;
  readonly round: number;
  /** Whether nothing is read beyond a row. */
  readonly whole: boolean;
}

export function plan(options: GemvOptions): GemvPlan {
  const { mostThreads, ...fastest } = defaults[options.format];
  const scalarInput = options.columns % 4 !== 0;
  const o = { gated: false, scalarInput, ...fastest, ...options };
  const { paddedColumns } = weightLayout(o.outputs, o.columns, o.format);
  const chunk = o.words * weightsPerWord[o.format];
  const chunks = paddedColumns / chunk;
  const side = o.gated ? 2 : 1;
  const together = options.together ?? Math.max(1, Math.min(o.together, mostSums / (o.rows * side)));
  const threads = options.threads ?? fittingThreads(chunks, mostThreads);
  const rounds = Math.ceil(chunks / threads);
  const inRegisters = mostWords / (together * side * o.words);
  const inWorkgroup = mostStaged / (threads * chunk * 4 * o.rows);
  const room = Math.max(1, Math.floor(o.staged ? Math.min(inRegisters, inWorkgroup) : inRegisters));
  const unroll = options.unroll ?? range(room + 1).findLast((u) => u > 0 && rounds % u === 0)!;
  const round = threads * unroll;
  const whole = chunks % round === 0 && o.columns === paddedColumns;
  return { ...o, together, threads, unroll, paddedColumns, chunk, quads: chunk / 4, chunks, round, whole };
}

/** The multiple of 32 that leaves the fewest threads idle in the last round, the larger among equals. */
function fittingThreads(chunks: number, most: number): number {
  const idle = (threads: number) => Math.ceil(chunks / threads) * threads;
  return range(most / 32)
    .map((i) => most - 32 * i)
    .reduce((best, threads) => (idle(threads) < idle(best) ? threads : best));
}
