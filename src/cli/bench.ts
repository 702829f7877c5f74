import { benchmark } from "../benchmark/benchmark.ts";
import { describeReport } from "../benchmark/describe.ts";
import { nodeHost } from "../benchmark/host.node.ts";
import type { BenchmarkOptions } from "../benchmark/options.ts";
import { type Subject, syntheticSubject } from "../benchmark/shapes.ts";
import { loadDescription } from "../checkpoint/checkpoint.ts";
import { checkTensors } from "../checkpoint/expected-tensors.ts";
import { openFolder } from "../checkpoint/folder.node.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { localFolder } from "./local-checkpoint.ts";
import type { CommonFlags } from "./program.ts";
import { showProgress } from "./progress-bars.ts";
import { forOutput, writeJson, writeLine } from "./text.ts";
import { UsageError } from "./usage.ts";
import type { World } from "./world.ts";

export interface BenchFlags extends CommonFlags, Omit<BenchmarkOptions, "device" | "precision" | "weights"> {
  shape?: string;
  model?: string;
  revision?: string;
  device?: string;
  precision?: string;
  weights?: string;
}

/** `internvl bench`: how fast a model runs here, and how fast this machine could be. */
export async function bench(flags: BenchFlags, world: World): Promise<undefined> {
  const { stdout, stderr, interrupts } = world;
  const { shape, model, revision, json, verbose: _, ...options } = flags;
  const subject = await subjectOf({ shape, model, revision }, world);
  const bars = showProgress(world);
  try {
    const report = await benchmark(subject, options as BenchmarkOptions, nodeHost, {
      signal: interrupts.signal,
      onProgress: bars.onProgress,
      onStage(stage) {
        bars.clear();
        writeLine(stderr, `${stage} ...`);
      },
    });
    bars.clear();
    if (json) writeJson(stdout, report);
    else writeLine(stdout, forOutput(stdout, describeReport(report)));
  } finally {
    bars.clear();
    await subject.store.close();
  }
}

async function subjectOf(
  { shape, model, revision }: Pick<BenchFlags, "shape" | "model" | "revision">,
  world: World,
): Promise<Subject> {
  if (shape !== undefined && model !== undefined) throw new UsageError("--shape, --model: give one of them");
  if (model === undefined) {
    if (revision !== undefined) throw new UsageError("--revision: is only read with --model");
    return syntheticSubject(shape ?? "internvl2-8b");
  }
  const files = await openFolder(await localFolder(model, revision, world));
  try {
    const description = await loadDescription(files);
    const store = await openCheckpoint(files);
    checkTensors(description, store);
    return { name: model, synthetic: false, description, store };
  } catch (error) {
    await files.close();
    throw error;
  }
}
