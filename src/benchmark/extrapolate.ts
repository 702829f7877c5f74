import type { Repeat } from "./conversations.ts";
import { layerMilliseconds, tilesOf } from "./figures.ts";
import type { Run } from "./measured-backend.ts";
import type { BenchmarkReport, Extrapolation } from "./report.ts";
import { median, sum } from "./statistics.ts";
import type { Holding } from "./work.ts";

/**
 * The whole model's figures, if each of its layers took what the measured ones took on average and all else stayed.
 * Undefined where nothing is missing, or where the device does not say what its operations take.
 */
export function extrapolate(
  repeats: readonly Repeat[],
  { measured, options, prefill, decode, vision }: Omit<BenchmarkReport, "extrapolated" | "roofline">,
  holding: Holding,
): Extrapolation | undefined {
  if (measured.whole || !repeats[0].decode[0].run.operations) return undefined;
  const { layers, layersOfTheModel: all } = measured;
  const missing = (runs: readonly Run[], part: keyof typeof layers) =>
    (sum(runs.map((run) => layerMilliseconds(run, holding).layers)) * (all[part] - layers[part])) /
    layers[part];
  const over = (
    runsOf: (repeat: Repeat) => readonly Run[],
    part: keyof typeof layers,
    units: (run: Run) => number = () => 1,
  ) =>
    median(
      repeats.map((repeat) => missing(runsOf(repeat), part) / Math.max(1, sum(runsOf(repeat).map(units)))),
    );
  const prefillMore = median(repeats.map((repeat) => missing(repeat.prefill, "language")));
  const stepMore = over(({ decode: steps }) => steps.map(({ run }) => run), "language");
  const tileMore = over(({ vision: runs }) => runs, "vision", tilesOf);
  const tile = vision && vision.msPerTile + tileMore;
  const prompt = prefill.milliseconds + prefillMore;
  return {
    visionMsPerTile: tile,
    prefillTokensPerSecond: (measured.promptTokens / prompt) * 1000,
    decodeTokensPerSecond: (options.batch * 1000) / (decode.msPerStep + stepMore),
    timeToFirstTokenMs: prompt + (tile ?? 0) * options.tiles,
  };
}
