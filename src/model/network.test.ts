import { describe, expect, it } from "vitest";
import { fakeStore } from "../../test/support/fake-store.ts";
import type { Backend, Program } from "../backend/backend.ts";
import { ReferenceBackend } from "../backend/reference/backend.ts";
import { parseConfig } from "../checkpoint/config.ts";
import { expectedTensors } from "../checkpoint/expected-tensors.ts";
import { publishedConfigs } from "../checkpoint/published.ts";
import type { Operation } from "../graph/operations.ts";
import type { Graph } from "../graph/recorder.ts";
import { cacheLayout, languageWeights, recordLanguage } from "./language.ts";
import { Network, recordEncoder } from "./network.ts";
import { projectorWeights } from "./projector.ts";
import { visionWeights } from "./vision.ts";

type Json = Record<string, unknown>;

/** A checkpoint of a family in miniature, all zeros: tiles of 28 pixels, which become one token. */
function small(name: keyof typeof publishedConfigs, more: Json = {}) {
  const config = structuredClone(publishedConfigs[name]) as Json & { llm_config: Json; vision_config: Json };
  Object.assign(config, { force_image_size: 28, ...more });
  Object.assign(config.vision_config, {
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 6,
    image_size: 56,
  });
  Object.assign(config.llm_config, {
    num_hidden_layers: 2,
    hidden_size: 8,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 5,
    vocab_size: 10,
  });
  const description = parseConfig(config);
  return { description, store: fakeStore(expectedTensors(description)) };
}

async function encoder(name: keyof typeof publishedConfigs, more?: Json) {
  const { description, store } = small(name, more);
  const weights = { vision: await visionWeights(description, store), projector: projectorWeights(store) };
  return recordEncoder(description, weights, 3);
}

const kinds = (operations: readonly Operation[]) => operations.map(({ kind }) => kind);
const epsilons = (operations: readonly Operation[]) =>
  operations.flatMap((operation) => ("epsilon" in operation ? [operation.epsilon] : []));

describe("the vision tower and projector", () => {
  it("are LayerNorm blocks in InternViT-300M, with the epsilon of the config, and of torch in the projector", async () => {
    const { operations } = await encoder("8b");
    const block = ["layerNorm", "matmul", "attention", "matmul", "layerNorm", "matmul", "matmul"];
    const projector = ["gatherRows", "layerNorm", "matmul", "matmul"];
    expect(kinds(operations)).toEqual(["patches", "matmul", ...block, ...block, ...projector]);
    expect(epsilons(operations)).toEqual([1e-6, 1e-6, 1e-6, 1e-6, 1e-5]);
  });

  it("are RMSNorm blocks in InternViT-6B, with q and k normalised over all heads", async () => {
    const { operations } = await encoder("26b");
    const block = [
      "rmsNorm",
      "matmul",
      "rmsNorm",
      "rmsNorm",
      "attention",
      "matmul",
      "rmsNorm",
      "matmul",
      "matmul",
    ];
    const projector = ["gatherRows", "layerNorm", "matmul", "matmul"];
    expect(kinds(operations)).toEqual(["patches", "matmul", ...block, ...block, ...projector]);
    const [, , , query, key] = operations.filter(({ kind }) => kind === "rmsNorm" || kind === "matmul");
    expect(
      [query, key].map((operation) => (operation.kind === "rmsNorm" ? operation.weight.name : "")),
    ).toEqual([
      "vision_model.encoder.layers.0.attn.q_norm.weight",
      "vision_model.encoder.layers.0.attn.k_norm.weight",
    ]);
    for (const operation of operations) {
      if (operation.kind !== "rmsNorm" || !operation.weight.name.includes("_norm")) continue;
      expect(operation.input.columns).toBe(8); // the whole of q, not a head of it
    }
  });

  it("stop at the layer that is selected", async () => {
    const { operations } = await encoder("8b", { select_layer: -2 });
    expect(operations.filter(({ kind }) => kind === "attention")).toHaveLength(1);
    const names = (await encoder("8b", { select_layer: -2 })).weights.map(({ name }) => name);
    expect(names.some((name) => name.includes("layers.1."))).toBe(false);
  });
});

describe("the language model", () => {
  const record = (
    outputs: number,
    pick: "logits" | { count: number; penalised: number; suppressed: number },
  ) => {
    const { description, store } = small("8b");
    const weights = languageWeights(description.language, store);
    const sizes = { tokens: 3, features: 1, sequences: 2, pages: 4, outputs, pick };
    return recordLanguage(description.language, weights, cacheLayout(description.language, 4), sizes);
  };

  const attention = ["rmsNorm", "matmul", "rotary", "pagedAttention"];
  const feedForward = ["matmul", "rmsNorm", "gatedMatmul", "matmul"];
  const end = ["rmsNorm", "matmul"];

  it("is the same graph for prompts and single tokens, with the logits of the rows asked for", () => {
    const graph = record(3, "logits");
    const block = [...attention, ...feedForward];
    const all = ["embed", "scatterRows", ...block, ...block, "gatherRows", ...end];
    expect(kinds(graph.operations)).toEqual(all);
    expect(epsilons(graph.operations)).toEqual([1e-5, 1e-5, 1e-5, 1e-5, 1e-5]);
    expect(graph.outputs.get("logits")).toMatchObject({ rows: 3, columns: 10 });
    expect(graph.operations.filter(({ kind }) => kind === "rotary")).toMatchObject([
      { layer: 0 },
      { layer: 1 },
    ]);
  });

  it("finishes only the rows that are asked for, once no other row sees the rest", () => {
    const { operations, outputs } = record(1, "logits");
    const first = ["embed", "scatterRows", ...attention, ...feedForward];
    const gathers = ["gatherRows", "gatherRows"];
    expect(kinds(operations)).toEqual([...first, ...attention, ...gathers, ...feedForward, ...end]);
    expect(outputs.get("logits")).toMatchObject({ rows: 1, columns: 10 });
  });

  it("chooses on the device, with the lists that are wanted", () => {
    const graph = record(2, { count: 4, penalised: 3, suppressed: 0 });
    expect(graph.outputs.get("tokens")).toMatchObject({ rows: 2, columns: 4 });
    expect(graph.inputs.get("penalised")).toMatchObject({ rows: 2, columns: 3 });
    expect(graph.inputs.has("suppressed")).toBe(false);
  });

  it("gives nothing back in the middle of a prompt", () => {
    const graph = record(0, "logits");
    expect(graph.outputs.size).toBe(0);
    expect(kinds(graph.operations).slice(-2)).toEqual(["matmul", "rotary"]);
    const names = (of: Graph) => of.weights.map(({ name }) => name);
    for (const unused of ["model.layers.1.attention.wo.weight", "output.weight"]) {
      expect(names(graph)).not.toContain(`language_model.${unused}`);
      expect(names(record(1, "logits"))).toContain(`language_model.${unused}`);
    }
  });
});

describe("Network", () => {
  /** The plain backend, with what is prepared and disposed written down. */
  function watched() {
    const plain = new ReferenceBackend("f32");
    const events: string[] = [];
    const backend: Backend = {
      name: "watched",
      tilesAtOnce: 1,
      tokensAtOnce: 512,
      queues: false,
      loadWeights: (weights, store, options) => plain.loadWeights(weights, store, options),
      createCache: (layout, pages) => plain.createCache(layout, pages),
      async prepare(graph, weights) {
        const program = await plain.prepare(graph, weights);
        const rows = graph.inputs.values().next().value!.rows;
        events.push(`prepare ${rows}`);
        return {
          arenaBytes: program.arenaBytes,
          start: (inputs, options) => program.start(inputs, options),
          run: (inputs, options) => program.run(inputs, options),
          dispose: () => events.push(`dispose ${rows}`),
        } satisfies Program;
      },
      async [Symbol.asyncDispose]() {},
    };
    return { backend, events };
  }

  it("prepares a size once, and lets the one unused for longest go", async () => {
    const { description, store } = small("8b");
    const { backend, events } = watched();
    const network = await Network.load(description, store, backend);
    const encode = async (tiles: number) => {
      const { outputs, staying } = await network.encode(
        Array.from({ length: tiles }, () => new Uint8Array(28 * 28 * 3)),
      );
      await outputs;
      return staying.features;
    };
    expect(await (await encode(2)).read()).toHaveLength(2 * 8);
    await encode(2);
    expect(events).toEqual(["prepare 2"]);
    for (let tiles = 3; tiles <= 33; tiles++) await encode(tiles);
    await encode(2); // 32 are kept: 2 is still there, and now the latest
    await encode(34);
    expect(events.filter((event) => event.startsWith("dispose"))).toEqual(["dispose 3"]);
    expect(events.filter((event) => event === "prepare 2")).toHaveLength(1);
    network.dispose();
    expect(events.filter((event) => event.startsWith("dispose"))).toHaveLength(33);
  });

  it("brings every weight of the checkpoint that is used, and each once", async () => {
    const { description, store } = small("26b");
    const { backend } = watched();
    const read: string[] = [];
    const network = await Network.load(
      description,
      {
        ...store,
        readRows(name, first, rows) {
          read.push(`${name} ${first}`);
          return store.readRows(name, first, rows);
        },
      },
      backend,
    );
    expect(new Set(read).size).toBe(read.length);
    const values = [...expectedTensors(description).values()].map((shape) =>
      shape.reduce((a, b) => a * b, 1),
    );
    const all = values.reduce((a, b) => a + b, 0);
    // The embeddings' three small tensors become one table, for tiles of half the side.
    const { hiddenSize, imageSize, patchSize } = description.vision;
    const [before, after] = [2 + 1 + (imageSize / patchSize) ** 2, 1 + (28 / 14) ** 2];
    expect(network.weightBytes).toBe((all + (after - before) * hiddenSize) * 4);
  });
});
