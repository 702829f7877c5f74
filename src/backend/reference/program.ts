import type { Operation } from "../../graph/operations.ts";
import { type Plan, planMemory } from "../../graph/planner.ts";
import type { Graph } from "../../graph/recorder.ts";
import type { Tensor, Weight } from "../../graph/tensor.ts";
import { TimeSlices } from "../../turn.ts";
import type {
  HostArray,
  Input,
  KeyValueCache,
  Outputs,
  Precision,
  Program,
  Run,
  RunOptions,
} from "../backend.ts";
import { assembled, startOnHost } from "../on-host.ts";
import { attention, pagedAttention } from "./attention.ts";
import { ReferenceCache } from "./cache.ts";
import { gatedMatmul, matmul } from "./matmul.ts";
import type { Matrix } from "./matrix.ts";
import { embed, gatherRows, patches, scatterRows } from "./moves.ts";
import { layerNorm, rmsNorm } from "./norms.ts";
import { pickTokens } from "./pick-tokens.ts";
import { rotary } from "./rotary.ts";
import type { ReferenceWeights } from "./weights.ts";

/** A graph walked operation by operation, its activations placed in one arena by the planner. */
export class ReferenceProgram implements Program {
  readonly arenaBytes: number;
  readonly #graph: Graph;
  readonly #plan: Plan;
  readonly #weights: ReferenceWeights;
  readonly #precision: Precision;
  readonly #vectors = new Map<Weight, Float32Array>();

  constructor(graph: Graph, weights: ReferenceWeights, precision: Precision) {
    this.#graph = graph;
    this.#weights = weights;
    this.#precision = precision;
    this.#plan = planMemory(graph);
    this.arenaBytes = this.#plan.arenaBytes;
  }

  start(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Run {
    return startOnHost(this.#graph, inputs, (arrays) => this.#walk(arrays, options));
  }

  async run(inputs: Readonly<Record<string, Input>>, options?: RunOptions): Promise<Outputs> {
    return this.#walk(await assembled(this.#graph, inputs), options);
  }

  dispose(): void {
    this.#vectors.clear();
  }

  async #walk(
    inputs: Readonly<Record<string, HostArray>>,
    { cache, signal }: RunOptions = {},
  ): Promise<Outputs> {
    const memory = new Memory(this.#graph, this.#plan, inputs);
    const slices = new TimeSlices();
    for (const operation of this.#graph.operations) {
      signal?.throwIfAborted();
      this.#execute(operation, memory, cache);
      await slices.breathe();
    }
    signal?.throwIfAborted();
    const outputs: Outputs = {};
    for (const [name, tensor] of this.#graph.outputs) outputs[name] = memory.copy(tensor);
    return outputs;
  }

  #execute(operation: Operation, memory: Memory, cache: KeyValueCache | undefined): void {
    const f32 = (tensor: Tensor) => memory.matrix(tensor) as Matrix;
    const u32 = (tensor: Tensor) => memory.matrix(tensor) as Matrix<Uint32Array>;
    const weight = (of: Weight) => this.#weights.get(of);
    const vector = (of: Weight) => this.#vector(of);
    switch (operation.kind) {
      case "embed":
        embed(weight(operation.table), u32(operation.ids), f32(operation.output));
        break;
      case "scatterRows":
        scatterRows(f32(operation.target), f32(operation.source), u32(operation.rows));
        break;
      case "patches":
        patches(memory.matrix(operation.tiles) as Matrix<Uint8Array>, operation, f32(operation.output));
        break;
      case "matmul": {
        const { bias, activation, scale, residual, table } = operation;
        const epilogue = {
          bias: bias && vector(bias),
          activation,
          scale: scale && vector(scale),
          residual: residual && f32(residual),
          table: table && wholeTable(table, vector(table)),
        };
        matmul(
          f32(operation.input),
          weight(operation.weight),
          epilogue,
          f32(operation.output),
          this.#precision,
        );
        break;
      }
      case "gatedMatmul":
        gatedMatmul(
          f32(operation.input),
          weight(operation.gate),
          weight(operation.up),
          f32(operation.output),
          this.#precision,
        );
        break;
      case "layerNorm": {
        const { input, bias, epsilon, output } = operation;
        layerNorm(f32(input), vector(operation.weight), vector(bias), epsilon, f32(output));
        break;
      }
      case "rmsNorm":
        rmsNorm(f32(operation.input), vector(operation.weight), operation.epsilon, f32(operation.output));
        break;
      case "rotary": {
        const { query, key, value, angles, slots, layer } = operation;
        const values = {
          query: f32(query),
          key: f32(key),
          value: f32(value),
          angles: f32(angles),
          slots: u32(slots),
        };
        rotary(values, layer, cacheOf(cache), f32(operation.output));
        break;
      }
      case "attention": {
        const { query, key, value, output } = operation;
        attention(f32(query), f32(key), f32(value), operation, f32(output));
        break;
      }
      case "pagedAttention": {
        const { query, starts, lengths, pages, output } = operation;
        const batch = { starts: u32(starts), lengths: u32(lengths), pages: u32(pages) };
        pagedAttention(f32(query), batch, operation, cacheOf(cache), f32(output));
        break;
      }
      case "gatherRows":
        gatherRows(f32(operation.input), u32(operation.rows), f32(operation.output));
        break;
      case "pickTokens": {
        const { logits, settings, penalised, suppressed, tokens, scores } = operation;
        const lists = { penalised: penalised && u32(penalised), suppressed: suppressed && u32(suppressed) };
        pickTokens(f32(logits), f32(settings), lists, u32(tokens), f32(scores));
        break;
      }
    }
  }

  /** A vector or table in f32, widened once. */
  #vector(weight: Weight): Float32Array {
    let floats = this.#vectors.get(weight);
    if (!floats) {
      floats = this.#weights.get(weight).floats();
      this.#vectors.set(weight, floats);
    }
    return floats;
  }
}

/** The memory of one run: inputs as they came, constants, and activations in the arena. */
class Memory {
  readonly #arena: ArrayBuffer;
  readonly #plan: Plan;
  readonly #inputs = new Map<number, HostArray>();

  constructor(graph: Graph, plan: Plan, inputs: Readonly<Record<string, HostArray>>) {
    this.#plan = plan;
    this.#arena = new ArrayBuffer(plan.arenaBytes);
    for (const [name, { storage }] of graph.inputs) this.#inputs.set(storage.id, inputs[name]);
  }

  matrix(tensor: Tensor): Matrix<HostArray> {
    const { storage, rows, columns, firstColumn } = tensor;
    return { data: this.#data(tensor), rows, columns, start: firstColumn, stride: storage.columns };
  }

  copy(tensor: Tensor): Float32Array | Uint32Array {
    return this.#data(tensor).slice() as Float32Array | Uint32Array;
  }

  #data({ storage }: Tensor): HostArray {
    if (storage.kind === "input") return this.#inputs.get(storage.id)!;
    if (storage.kind === "constant") return storage.values!;
    const offset = this.#plan.offsets.get(storage.id)!;
    const length = storage.rows * storage.columns;
    return storage.type === "u32"
      ? new Uint32Array(this.#arena, offset, length)
      : new Float32Array(this.#arena, offset, length);
  }
}

function wholeTable(table: Weight, data: Float32Array): Matrix {
  return { data, rows: table.rows, columns: table.columns, start: 0, stride: table.columns };
}

function cacheOf(cache: KeyValueCache | undefined): ReferenceCache {
  if (!(cache instanceof ReferenceCache))
    throw new TypeError("this program needs a cache of the reference backend");
  return cache;
}
