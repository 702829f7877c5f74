import { type Operation, weightsOf } from "../graph/operations.ts";
import type { DecodeStep, Repeat } from "./conversations.ts";
import { type LimitSample, productLimit, readLimit } from "./limits.ts";
import type { Run } from "./measured-backend.ts";
import type { DecodeFigures, PrefillFigures, VisionFigures } from "./report.ts";
import { median, spreadOf, sum } from "./statistics.ts";
import { type Holding, type OperationWork, workOf } from "./work.ts";

/** Over all tiles of all repeats. Undefined without a picture. */
export function visionFigures(
  repeats: readonly Repeat[],
  holding: Holding,
  limits: LimitSample | null,
): VisionFigures | null {
  const runs = repeats.flatMap(({ vision }) => vision);
  if (runs.length === 0) return null;
  const spread = spreadOf(runs.map((run) => (run.end - run.begin) / tilesOf(run)));
  const work = workOf(runs[0], holding);
  const milliseconds = spread.median * tilesOf(runs[0]);
  return {
    msPerTile: spread.median,
    teraflops: flopsOf(work) / milliseconds / 1e9,
    percentOfLimit: limits && (productMilliseconds(work, limits) / milliseconds) * 100,
    spread,
  };
}

/** Tiles that a run of the vision tower took. */
export function tilesOf({ graph }: Run): number {
  return graph.inputs.get("tiles")!.rows;
}

/** Of one prompt alone, from its pictures' end to its first token. */
export function prefillFigures(
  repeats: readonly Repeat[],
  promptTokens: number,
  holding: Holding,
  limits: LimitSample | null,
): PrefillFigures {
  const milliseconds = median(repeats.map(({ prefillMilliseconds }) => prefillMilliseconds));
  const work = repeats[0].prefill.flatMap((run) => workOf(run, holding));
  const spread = spreadOf(repeats.map((repeat) => (promptTokens / repeat.prefillMilliseconds) * 1000));
  return {
    tokensPerSecond: spread.median,
    teraflops: flopsOf(work) / milliseconds / 1e9,
    percentOfLimit: limits && (productMilliseconds(work, limits) / milliseconds) * 100,
    milliseconds,
    spread,
  };
}

/** Each repeat counts with its mean, so that a step that stalled is not lost. */
export function decodeFigures(
  repeats: readonly Repeat[],
  batch: number,
  holding: Holding,
  limits: LimitSample | null,
): DecodeFigures {
  const means = repeats.map(({ decode }) => sum(decode.map((step) => step.milliseconds)) / decode.length);
  const spread = spreadOf(means.map((mean) => (batch * 1000) / mean));
  const msPerStep = (batch * 1000) / spread.median;
  const bytes = sum(workOf(repeats[0].decode[0].run, holding).map(({ weightBytes }) => weightBytes));
  return {
    tokensPerSecond: spread.median,
    gigabytesPerSecond: bytes / msPerStep / 1e6,
    percentOfLimit: limits && (bytes / readLimit(limits) / msPerStep) * 100,
    msPerStep,
    busyPercent: busyPercent(repeats.flatMap(({ decode }) => decode)),
    spread,
  };
}

function busyPercent(steps: readonly DecodeStep[]): number | null {
  if (steps.some(({ run }) => run.deviceMilliseconds === undefined)) return null;
  const worked = sum(steps.map(({ run }) => run.deviceMilliseconds!));
  return (worked / sum(steps.map(({ milliseconds }) => milliseconds))) * 100;
}

export function hostMilliseconds(repeats: readonly Repeat[]): number {
  const steps = repeats.flatMap(({ decode }): readonly DecodeStep[] => decode);
  return median(steps.map((step) => step.hostMilliseconds));
}

/** What the products of some work would take at the machine's rates. */
function productMilliseconds(work: readonly OperationWork[], limits: LimitSample): number {
  return sum(work.map(({ flops, kind }) => flops / productLimit(limits, kind)));
}

function flopsOf(work: readonly OperationWork[]): number {
  return sum(work.map(({ flops }) => flops));
}

/** Milliseconds of each layer of a run on the device. */
export function layerMilliseconds(run: Run, holding: Holding): number[] {
  const layers: number[] = [];
  let current: number | undefined;
  for (const { operation, milliseconds = 0 } of workOf(run, holding)) {
    current = layerOf(operation, current);
    if (current !== undefined) layers[current] = (layers[current] ?? 0) + milliseconds;
  }
  return layers;
}

/** The layer whose weights an operation names; what has no weights belongs to the layer that it stands in. */
function layerOf(operation: Operation, current: number | undefined): number | undefined {
  const [weight] = weightsOf(operation);
  if (!weight) return current;
  const number = /\.layers\.(\d+)\./.exec(weight.name)?.[1];
  return number === undefined ? undefined : Number(number);
}
