import type { LimitsProbe, ProductKind } from "../backend/cpu/limits.ts";

/** What the machine could do at most at one moment. GB and TFLOP are powers of ten. */
export interface LimitSample {
  readonly readGigabytesPerSecond: number;
  readonly f32Teraflops: number;
  /** Null where the processor's variant has no instruction for products of these numbers. */
  readonly bf16Teraflops: number | null;
  readonly int8Teraops: number | null;
}

/** The limits that figures are held against: of each, the best of all samples. */
export interface Limits extends LimitSample {
  /** Before the weights were loaded, and after the last repeat: apart, they show how noisy the machine is. */
  readonly before: LimitSample;
  readonly after: LimitSample;
}

/** Larger than any processor's caches, where there is room. */
const readBytes = 2 ** 30;

export async function sampleLimits(
  probe: LimitsProbe,
  availableBytes: number,
  signal?: AbortSignal,
): Promise<LimitSample> {
  const read = await probe.readRate(Math.min(readBytes, Math.floor(availableBytes / 4)));
  const rates = { f32: 0, bf16: 0, int8: 0 };
  for (const kind of ["f32", "bf16", "int8"] as const) {
    signal?.throwIfAborted();
    rates[kind] = await probe.productRate(kind);
  }
  return {
    readGigabytesPerSecond: read / 1e9,
    f32Teraflops: rates.f32 / 1e12,
    bf16Teraflops: rates.bf16 > 0 ? rates.bf16 / 1e12 : null,
    int8Teraops: rates.int8 > 0 ? rates.int8 / 1e12 : null,
  };
}

export function bestOf(before: LimitSample, after: LimitSample): Limits {
  const most = (a: number | null, b: number | null) => (a === null || b === null ? null : Math.max(a, b));
  return {
    readGigabytesPerSecond: Math.max(before.readGigabytesPerSecond, after.readGigabytesPerSecond),
    f32Teraflops: Math.max(before.f32Teraflops, after.f32Teraflops),
    bf16Teraflops: most(before.bf16Teraflops, after.bf16Teraflops),
    int8Teraops: most(before.int8Teraops, after.int8Teraops),
    before,
    after,
  };
}

/**
 * Multiplications and additions a millisecond that products of these numbers could reach. Without an instruction for
 * them they are widened: then the next wider kind is the limit.
 */
export function productLimit(limits: LimitSample, kind: ProductKind): number {
  const { f32Teraflops, bf16Teraflops, int8Teraops } = limits;
  const rates = {
    f32: [f32Teraflops],
    bf16: [f32Teraflops, bf16Teraflops],
    int8: [bf16Teraflops, int8Teraops],
  };
  const best = Math.max(f32Teraflops, ...rates[kind].map((rate) => rate ?? 0));
  return best * 1e9;
}

/** Bytes a millisecond. */
export function readLimit(limits: LimitSample): number {
  return limits.readGigabytesPerSecond * 1e6;
}
