import type { Repeat } from "./conversations.ts";
import { layerMilliseconds, tilesOf } from "./figures.ts";
import type { Run } from "./measured-backend.ts";
import type { BenchmarkReport, Extrapolation } from "./report.ts";
import { median, sum } from "./statistics.ts";
import type { Holding } from "./work.ts";

/**
 * The whole model's figures, if each of its layers took what the measured ones took on average and all else stayed.
 * Undefined where nothing is missing, where the device does not say what its operations take, or with one layer of the
 * language model: the last finishes only the rows that are asked for, and so stands for no other.
 */
export function extrapolate(
  repeats: readonly Repeat[],
  { measured, options, prefill, decode, vision }: Omit<BenchmarkReport, "extrapolated" | "roofline">,
  holding: Holding,
): Extrapolation | undefined {
  const { layers, layersOfTheModel: all } = measured;
  if (measured.whole || layers.language < 2 || !repeats[0].decode[0].run.operations) return undefined;
  const missing = (runs: readonly Run[], part: keyof typeof layers) => {
    const alike = layers[part] - (part === "language" ? 1 : 0);
    const each = runs.map((run) => sum(layerMilliseconds(run, holding).slice(0, alike)) / alike);
    return sum(each) * (all[part] - layers[part]);
  };
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
