import type { Limits } from "./limits.ts";
import type { ResolvedBenchmarkOptions } from "./options.ts";
import type { RooflineRow } from "./roofline.ts";
import type { Spread } from "./statistics.ts";

/**
 * What a benchmark found. Each figure is the median over the repeats; `spread` says between which values it lies. A
 * `percentOfLimit` is null where the machine's limits can not be measured.
 */
export interface BenchmarkReport {
  readonly subject: { readonly name: string; readonly synthetic: boolean };
  readonly machine: Readonly<Record<string, string | number | null>>;
  /** What was run. Every figure but those in `extrapolated` belongs to these layers. */
  readonly measured: {
    readonly layers: Layers;
    readonly layersOfTheModel: Layers;
    readonly whole: boolean;
    /** Tokens of the prompt, those of the picture among them. */
    readonly promptTokens: number;
    readonly weightBytes: number;
  };
  readonly options: Omit<ResolvedBenchmarkOptions, "roofline">;
  readonly load: {
    readonly seconds: number;
    readonly gigabytesPerSecond: number;
    /** Loading and the very first token after it, for which a graphics card makes its programs: only there. */
    readonly firstTokenSeconds?: number;
  };
  /** Null without a picture. */
  readonly vision: VisionFigures | null;
  readonly prefill: PrefillFigures;
  readonly decode: DecodeFigures;
  /** From the question to the first token: picture, prompt, choice. Decoding and cutting the picture is not in it. */
  readonly timeToFirstTokenMs: number;
  /** JavaScript's own share of a decode step: the step without the device's operations. */
  readonly hostMillisecondsPerStep: number;
  readonly peakMemoryBytes: number;
  readonly limits: Limits | null;
  /** What the whole model would take if every layer took what the measured ones took; only where layers are missing. */
  readonly extrapolated?: Extrapolation;
  readonly roofline?: readonly RooflineRow[];
}

interface Layers {
  readonly vision: number;
  readonly language: number;
}

export interface VisionFigures {
  readonly msPerTile: number;
  readonly teraflops: number;
  readonly percentOfLimit: number | null;
  /** Of `msPerTile`. */
  readonly spread: Spread;
}

export interface PrefillFigures {
  readonly tokensPerSecond: number;
  readonly teraflops: number;
  /** Share of the rate at which the machine does these products. */
  readonly percentOfLimit: number | null;
  readonly milliseconds: number;
  /** Of `tokensPerSecond`. */
  readonly spread: Spread;
}

export interface DecodeFigures {
  /** Over all conversations. */
  readonly tokensPerSecond: number;
  /** Bytes of weights that a step reads, each once. Keys and values come on top of that and are not counted. */
  readonly gigabytesPerSecond: number;
  /** Share of the read bandwidth. */
  readonly percentOfLimit: number | null;
  readonly msPerStep: number;
  /** Share of the time for which the device worked on the steps; null where it does not say. */
  readonly busyPercent: number | null;
  /** Of `tokensPerSecond`. */
  readonly spread: Spread;
}

export interface Extrapolation {
  readonly visionMsPerTile: number | null;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly timeToFirstTokenMs: number;
}
