import type { ProductKind } from "../backend/cpu/limits.ts";
import type { Operation } from "../graph/operations.ts";
import type { Repeat } from "./conversations.ts";
import { tilesOf } from "./figures.ts";
import { type LimitSample, productLimit, readLimit } from "./limits.ts";
import type { Run } from "./measured-backend.ts";
import { sum } from "./statistics.ts";
import { type Holding, leastMilliseconds, workOf } from "./work.ts";

export type Phase = "vision" | "prefill" | "decode";

/** One kind of operation with weights of one shape, for one tile, one prompt, or one decode step. */
export interface RooflineRow {
  readonly phase: Phase;
  /** The kind of operation; `all` is the sum of a phase. */
  readonly operation: Operation["kind"] | "all";
  /** Of the weight, rows by columns; empty where there is none. */
  readonly shape: string;
  readonly count: number;
  readonly flops: number;
  readonly bytes: number;
  /** Null where the device does not say. */
  readonly milliseconds: number | null;
  readonly gigaflopsPerSecond: number | null;
  readonly gigabytesPerSecond: number | null;
  /** What binds: arithmetic with these numbers, or reading. Null without limits. */
  readonly limit: ProductKind | "read" | null;
  /** Above 100 where what was moved stayed in a cache. */
  readonly percentOfLimit: number | null;
}

interface Sums {
  count: number;
  flops: number;
  bytes: number;
  milliseconds: number | undefined;
  least: number;
  /** The least milliseconds, by what binds. */
  binding: Map<ProductKind | "read", number>;
}

/** Runs that belong together, and how many tiles, prompts or steps they are. */
interface Part {
  readonly runs: readonly Run[];
  readonly units: number;
}

/** Of each phase the run in the middle: a first one may hold trials of kernels, or a device not yet at its full clock. */
export function roofline(
  repeats: readonly Repeat[],
  holding: Holding,
  limits: LimitSample | null,
): RooflineRow[] {
  const tiles = repeats.flatMap(({ vision }) => vision);
  const steps = repeats.flatMap(({ decode }) => decode);
  const parts: Record<Phase, Part[]> = {
    vision: tiles.map((run) => ({ runs: [run], units: tilesOf(run) })),
    prefill: repeats.map(({ prefill }) => ({ runs: prefill, units: 1 })),
    decode: steps.map(({ run }) => ({ runs: [run], units: 1 })),
  };
  return (["vision", "prefill", "decode"] as const).flatMap((phase) =>
    parts[phase].length === 0 ? [] : rowsOf(phase, inTheMiddle(parts[phase]), holding, limits),
  );
}

/** By the time that the operations took; the first where that is not known. */
function inTheMiddle(parts: readonly Part[]): Part {
  const taken = parts.map((part) => ({
    part,
    milliseconds: sum(part.runs.flatMap(({ operations }) => operations ?? [])) / part.units,
  }));
  taken.sort((a, b) => a.milliseconds - b.milliseconds);
  return taken[(taken.length - 1) >> 1].part;
}

/** The rows of one phase, and their sum first. */
function rowsOf(
  phase: Phase,
  { runs, units }: Part,
  holding: Holding,
  limits: LimitSample | null,
): RooflineRow[] {
  const rows = new Map<string, Sums>([["all ", emptySums()]]);
  for (const run of runs) {
    for (const work of workOf(run, holding)) {
      const name = `${work.operation.kind} ${shapeOf(work.operation)}`;
      if (!rows.has(name)) rows.set(name, emptySums());
      for (const sums of [rows.get("all ")!, rows.get(name)!]) {
        sums.count++;
        sums.flops += work.flops;
        sums.bytes += work.bytes;
        sums.milliseconds =
          work.milliseconds === undefined ? undefined : (sums.milliseconds ?? 0) + work.milliseconds;
        if (!limits) continue;
        const least = leastMilliseconds(work, limits);
        const arithmetic = work.flops / productLimit(limits, work.kind);
        const binds = arithmetic > work.bytes / readLimit(limits) ? work.kind : "read";
        sums.least += least;
        sums.binding.set(binds, (sums.binding.get(binds) ?? 0) + least);
      }
    }
  }
  return [...rows].map(([name, sums]) => rowOf(phase, name, sums, units));
}

function rowOf(phase: Phase, name: string, sums: Sums, units: number): RooflineRow {
  const [operation, shape] = name.split(" ");
  const { milliseconds = null } = sums;
  const [limit] = [...sums.binding].sort(([, a], [, b]) => b - a)[0] ?? [null];
  const each = (value: number) => value / units;
  return {
    phase,
    operation: operation as RooflineRow["operation"],
    shape,
    count: each(sums.count),
    flops: each(sums.flops),
    bytes: each(sums.bytes),
    milliseconds: milliseconds === null ? null : each(milliseconds),
    gigaflopsPerSecond: milliseconds && sums.flops / milliseconds / 1e6,
    gigabytesPerSecond: milliseconds && sums.bytes / milliseconds / 1e6,
    limit,
    percentOfLimit: milliseconds && limit && (sums.least / milliseconds) * 100,
  };
}

function emptySums(): Sums {
  return { count: 0, flops: 0, bytes: 0, milliseconds: undefined, least: 0, binding: new Map() };
}

function shapeOf(operation: Operation): string {
  switch (operation.kind) {
    case "matmul":
      return `${operation.weight.rows}x${operation.weight.columns}`;
    case "gatedMatmul":
      return `2x${operation.gate.rows}x${operation.gate.columns}`;
    case "embed":
      return `${operation.table.rows}x${operation.table.columns}`;
    case "layerNorm":
    case "rmsNorm":
      return `${operation.weight.rows}`;
    case "attention":
      return `${operation.heads}x${operation.headSize}`;
    case "rotary":
    case "pagedAttention":
      return `${operation.heads}x${operation.cache.headSize}`;
    case "scatterRows":
    case "gatherRows":
    case "patches":
    case "pickTokens":
      return "";
  }
}
