import type {
  Backend,
  Input,
  KeyValueCache,
  LoadedWeights,
  PrepareOptions,
  Program,
  Run,
} from "../backend/backend.ts";
import type { ModelDescription } from "../checkpoint/description.ts";
import type { TensorStore } from "../checkpoint/tensor-store.ts";
import { type Graph, Recorder } from "../graph/recorder.ts";
import type { Weight } from "../graph/tensor.ts";
import type { OnProgress } from "../progress.ts";
import {
  cacheLayout,
  type LanguageWeights,
  languageWeights,
  recordLanguage,
  type StepSizes,
} from "./language.ts";
import { type ProjectorWeights, projectorWeights, recordProjector } from "./projector.ts";
import { recordVision, type VisionWeights, visionWeights } from "./vision.ts";

/** Programs kept ready: a conversation uses a handful of sizes again and again. */
const programsKept = 32;

/** The whole network on one device: its weights, and a program for each size that was asked for. */
export class Network {
  readonly description: ModelDescription;
  /** Tiles that one call of `encode` should bring at most. */
  readonly tilesAtOnce: number;
  /** Whether a step may begin before an earlier one is done. */
  readonly queues: boolean;
  readonly #backend: Backend;
  readonly #weights: LoadedWeights;
  readonly #parts: NetworkWeights;
  readonly #programs = new Map<string, Program>();

  private constructor(
    description: ModelDescription,
    backend: Backend,
    weights: LoadedWeights,
    parts: NetworkWeights,
  ) {
    this.description = description;
    this.tilesAtOnce = backend.tilesAtOnce;
    this.queues = backend.queues;
    this.#backend = backend;
    this.#weights = weights;
    this.#parts = parts;
  }

  static async load(
    description: ModelDescription,
    store: TensorStore,
    backend: Backend,
    options: { signal?: AbortSignal; onProgress?: OnProgress } = {},
  ): Promise<Network> {
    const parts: NetworkWeights = {
      vision: await visionWeights(description, store),
      projector: projectorWeights(store),
      language: languageWeights(description.language, store),
    };
    const weights = await backend.loadWeights(allWeights(parts), store, options);
    return new Network(description, backend, weights, parts);
  }

  /** Bytes that the weights take on the device. */
  get weightBytes(): number {
    return this.#weights.bytes;
  }

  createCache(pageSize: number, pages: number): KeyValueCache {
    return this.#backend.createCache(cacheLayout(this.description.language, pageSize), pages);
  }

  /**
   * Begins to make image features of tiles: `features` stays on the device, held for the caller,
   * `[T * tokensPerTile, hiddenSize]`.
   * @param tiles RGB bytes, `[tileSize, tileSize, 3]` each
   */
  async encode(tiles: readonly Uint8Array[], options: PrepareOptions = {}): Promise<Run> {
    const record = () => recordEncoder(this.description, this.#parts, tiles.length);
    const program = await this.#program(`vision ${tiles.length}`, record, options);
    return program.start({ tiles: tiles.map((of) => ({ of, first: 0, count: 1 })) }, options);
  }

  /** Begins one step of the language model: see `recordLanguage` for what goes in and what comes out. */
  async step(
    sizes: StepSizes,
    inputs: Readonly<Record<string, Input>>,
    cache: KeyValueCache,
    options: PrepareOptions = {},
  ): Promise<Run> {
    const record = () => recordLanguage(this.description.language, this.#parts.language, cache.layout, sizes);
    const program = await this.#program(`language ${JSON.stringify(sizes)}`, record, options);
    return program.start(inputs, { cache, signal: options.signal });
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
    this.#weights.dispose();
  }

  /** The program of a name, made at its first use; the one unused for longest makes room. */
  async #program(name: string, record: () => Graph, options: PrepareOptions): Promise<Program> {
    const program =
      this.#programs.get(name) ?? (await this.#backend.prepare(record(), this.#weights, options));
    this.#programs.delete(name);
    this.#programs.set(name, program);
    if (this.#programs.size > programsKept) {
      const [oldest, unused] = this.#programs.entries().next().value!;
      this.#programs.delete(oldest);
      unused.dispose();
    }
    return program;
  }
}

/** Tower and projector as one graph: `tiles` in, `features` out. */
export function recordEncoder(
  description: ModelDescription,
  weights: Pick<NetworkWeights, "vision" | "projector">,
  tiles: number,
): Graph {
  const g = new Recorder("vision");
  const pixels = g.input("tiles", "u8", tiles, description.tiling.tileSize ** 2 * 3);
  const states = recordVision(g, description, weights.vision, pixels);
  g.output("features", recordProjector(g, description, weights.projector, states), { stays: true });
  return g.finish();
}

export interface NetworkWeights {
  vision: VisionWeights;
  projector: ProjectorWeights;
  language: LanguageWeights;
}

/** Every parameter in the parts, whatever their shape. */
function allWeights(parts: object): Weight[] {
  return Object.values(parts).flatMap((part) => {
    if (typeof part !== "object" || part === null) return [];
    return "source" in part ? [part as Weight] : allWeights(part);
  });
}
