import type { LimitsProbe } from "../backend/cpu/limits.ts";
import { WebGpuBackend } from "../backend/webgpu/backend.ts";
import { chooseBackend } from "../chat/choose-backend.ts";
import { Engine } from "../engine/engine.ts";
import { Network } from "../model/network.ts";
import type { OnProgress } from "../progress.ts";
import { blankTokenizer } from "./blank-tokenizer.ts";
import { Conversations, engineSizes, type Repeat } from "./conversations.ts";
import { factsOf } from "./device-facts.ts";
import { extrapolate } from "./extrapolate.ts";
import { decodeFigures, hostMilliseconds, prefillFigures, visionFigures } from "./figures.ts";
import type { Host } from "./host.ts";
import { bestOf, type LimitSample, sampleLimits } from "./limits.ts";
import { MeasuredBackend } from "./measured-backend.ts";
import { checkMemory, memoryNeeds } from "./memory.ts";
import { type BenchmarkOptions, type ResolvedBenchmarkOptions, resolveBenchmarkOptions } from "./options.ts";
import type { BenchmarkReport } from "./report.ts";
import { roofline } from "./roofline.ts";
import { type Subject, withLayers } from "./shapes.ts";
import { median } from "./statistics.ts";
import type { Holding } from "./work.ts";

export interface BenchmarkHooks {
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
  /** What is being done now, in words. */
  readonly onStage?: (stage: string) => void;
}

/**
 * Measures a model on this machine: load, one tile, one prompt, decoding, and what the machine could do at most.
 * @throws OptionError, DeviceError, MemoryError (before anything is loaded), or the signal's reason
 */
export async function benchmark(
  subject: Subject,
  given: BenchmarkOptions,
  host: Host,
  hooks: BenchmarkHooks = {},
): Promise<BenchmarkReport> {
  const options = resolveBenchmarkOptions(given, subject.description);
  const { signal, onStage } = hooks;
  const inner = await chooseBackend(options);
  await using backend = new MeasuredBackend(inner);
  const { probe, kernels, lanes, cacheValueBytes } = factsOf(inner, options);
  const part: Subject = { ...subject, description: withLayers(subject.description, options.layers) };
  const sizes = engineSizes(part.description, options, inner.tokensAtOnce);
  // A graphics card has memory of its own: its backend checks that.
  if (!(inner instanceof WebGpuBackend)) {
    await checkMemory(
      (weights) => memoryNeeds(part, weights, sizes, cacheValueBytes),
      options.weights,
      host.availableMemory(),
    );
  }
  const before = await limitsNow(probe, host, hooks);
  host.resetPeak();
  const loadAverage = host.loadAverage();
  const ran = await loadAndRun(part, options, backend, hooks);
  const peakMemoryBytes = host.peakMemory();
  const after = await limitsNow(probe, host, hooks);
  signal?.throwIfAborted();
  onStage?.("counting");

  const limits = before && after ? bestOf(before, after) : null;
  const { repeats, load, weightBytes } = ran;
  const holding: Holding = { ...options, store: part.store, cacheValueBytes };
  const { roofline: wantsRoofline, ...reported } = options;
  const { vision, language } = part.description;
  const all = subject.description;
  const whole = vision.layers === all.vision.layers && language.layers === all.language.layers;
  const report = {
    subject: { name: subject.name, synthetic: subject.synthetic },
    machine: {
      ...host.facts,
      device: backend.name,
      kernels,
      lanes,
      loadAverage: loadAverage ?? null,
    },
    measured: {
      layers: { vision: vision.layers, language: language.layers },
      layersOfTheModel: { vision: all.vision.layers, language: all.language.layers },
      whole,
      promptTokens: sizes.promptTokens,
      weightBytes,
    },
    options: reported,
    load,
    vision: visionFigures(repeats, holding, limits),
    prefill: prefillFigures(repeats, sizes.promptTokens, holding, limits),
    decode: decodeFigures(repeats, options.batch, holding, limits),
    timeToFirstTokenMs: median(repeats.map(({ firstTokenMilliseconds }) => firstTokenMilliseconds)),
    hostMillisecondsPerStep: hostMilliseconds(repeats),
    peakMemoryBytes,
    limits,
  };
  return {
    ...report,
    extrapolated: extrapolate(repeats, report, holding),
    roofline: wantsRoofline ? roofline(repeats, holding, limits) : undefined,
  };
}

async function limitsNow(
  probe: LimitsProbe | undefined,
  host: Host,
  { onStage, signal }: BenchmarkHooks,
): Promise<LimitSample | undefined> {
  signal?.throwIfAborted();
  if (!probe) return undefined;
  onStage?.("measuring the machine's limits");
  return sampleLimits(probe, host.availableMemory(), signal);
}

/** Loads the weights, plays all repeats, and lets go of everything. */
async function loadAndRun(
  { description, store }: Subject,
  options: ResolvedBenchmarkOptions,
  backend: MeasuredBackend,
  { signal, onProgress, onStage }: BenchmarkHooks,
) {
  onStage?.("loading weights");
  const counted = countingReads(store);
  const since = performance.now();
  const network = await Network.load(description, counted.store, backend, { signal, onProgress });
  const loadSeconds = (performance.now() - since) / 1000;
  const loadedBytes = counted.bytes();
  try {
    const engine = new Engine(
      network,
      blankTokenizer(description.language.vocabularySize),
      engineSizes(description, options, backend.tokensAtOnce),
    );
    try {
      const conversations = new Conversations(engine, backend, description, options);
      onStage?.("warming up");
      const first = await conversations.warmUp(signal, onProgress);
      const firstTokenSeconds = first && loadSeconds + first.firstTokenMilliseconds / 1000;
      const repeats: Repeat[] = [];
      for (let i = 1; i <= options.repeat; i++) {
        onStage?.(`repeat ${i} of ${options.repeat}`);
        repeats.push(await conversations.repeat(signal, onProgress));
      }
      const load = {
        seconds: loadSeconds,
        gigabytesPerSecond: loadedBytes / loadSeconds / 1e9,
        firstTokenSeconds,
      };
      return { repeats, load, weightBytes: network.weightBytes };
    } finally {
      await engine.dispose();
    }
  } finally {
    network.dispose();
  }
}

/** A store that says how many bytes were read of it. */
function countingReads(store: Subject["store"]) {
  let bytes = 0;
  return {
    bytes: () => bytes,
    store: {
      tensors: store.tensors,
      async readRows(name: string, firstRow: number, rows: number) {
        const read = await store.readRows(name, firstRow, rows);
        bytes += read.byteLength;
        return read;
      },
      readFloats: (name: string) => store.readFloats(name),
      close: () => store.close(),
    },
  };
}
