import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ReferenceBackend } from "../../src/backend/reference/backend.ts";
import type { LoadOptions } from "../../src/chat/load.ts";
import { loadDescription } from "../../src/checkpoint/checkpoint.ts";
import { openFolder } from "../../src/checkpoint/folder.node.ts";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { Recorder } from "../../src/graph/recorder.ts";
import { buildPrompt, type InternVL, type TiledPicture } from "../../src/index.ts";
import { recordVision, visionWeights } from "../../src/model/vision.ts";
import { goldenFolder } from "../golden-tokenizers.ts";
import {
  conversationOf,
  featuresFor,
  type Golden,
  type GoldenCase,
  goldenTolerance,
  idsOf,
  loadGolden,
  loadTimeout,
  readGolden,
  tileOf,
  tilesAtMarks,
} from "./golden.ts";
import "./to-be-allclose.ts";

/**
 * Everything that is expected of a golden model with f32 activations, through the public face.
 * @param prepare what must be done before it is loaded
 */
export function describeGolden(
  name: string,
  { device, prepare }: { device?: LoadOptions["device"]; prepare?: () => void } = {},
): void {
  describe(device ? `${name} on ${device}` : name, () => {
    const golden = readGolden(name);
    let model: InternVL;
    let features: Float32Array;

    beforeAll(async () => {
      prepare?.();
      model = await loadGolden(name, "f32", device);
      features = await model.encodeImages(golden.tiles);
    }, loadTimeout);
    afterAll(() => model.dispose());

    it("has the vision tower's states: the embeddings' first rows, and the last layer's", async () => {
      const { first, last } = await visionStates(name, golden.tiles[0]);
      const want = (tensor: string) => golden.tensors.get(tensor)!.data;
      // 5 rows after the embeddings, class token first; 64 rows after the last layer, whichever the projector reads.
      expect(first.subarray(0, want("vit_first").length)).toBeAllclose(want("vit_first"), goldenTolerance);
      expect(last.subarray(0, want("vit_last").length)).toBeAllclose(want("vit_last"), goldenTolerance);
    });

    it("has the image features of the first tile, and the mean of every token's", () => {
      const want = golden.tensors.get("image_features")!;
      const [rows, width] = want.shape;
      expect(rows).toBeLessThanOrEqual(golden.tokens_per_tile);
      expect(features.subarray(0, rows * width)).toBeAllclose(want.data, goldenTolerance);
      const means = golden.tensors.get("image_features_mean")!.data;
      expect(meansOfRows(features, width)).toBeAllclose(means, goldenTolerance);
    });

    it("knows the ids that matter", () => {
      expect(model.tokenizer.idOf("<IMG_CONTEXT>")).toBe(golden.image_token);
      expect(model.tokenizer.idOf(model.template.end)).toBe(golden.stop);
      expect(model.description.tiling.tokensPerTile).toBe(golden.tokens_per_tile);
    });

    describe.each(golden.cases)("$name", (which) => {
      it("writes the prompt", () => {
        const { tokensPerTile } = model.description.tiling;
        const text = buildPrompt({
          template: model.template.name,
          ...conversationOf(which),
          tiles: tilesAtMarks(which),
          tokensPerTile,
        });
        expect(text.replaceAll("<IMG_CONTEXT>", "")).toBe(which.query_without_context);
        const ids = model.tokenizer.encode(text);
        expect(ids).toEqual(idsOf(which));
        expect(ids).toHaveLength(which.n_input_ids);
      });

      it("has the logits", async () => {
        const logits = await model.logits(idsOf(which), featuresFor(which, features, golden.tiles.length));
        const want = golden.tensors.get(`logits_${which.name}`)!.data;
        expect(logits).toBeAllclose(want, goldenTolerance);
      });

      it("generates the greedy tokens", async () => {
        const { sequences } = await model.generate(idsOf(which), {
          features: featuresFor(which, features, golden.tiles.length),
          maxNewTokens: which.greedy.length,
        });
        expect(sequences[0].ids).toEqual(which.greedy);
      });

      it("chats: the text is decoded, cut at the template's end, and stripped", async () => {
        const reply = await model.chat(...chatArguments(golden, which));
        const [decoded] = model.tokenizer.decode(which.greedy).split(model.template.end);
        expect(decoded).toBe(which.greedy_text); // which is not stripped yet
        expect(reply.text).toBe(which.greedy_text.trim());
        expect(reply.usage.promptTokens).toBe(which.n_input_ids);
      });

      if (!which.beam3) return;
      const beams = which.beam3;
      it("finds the three best beams", async () => {
        const { sequences } = await model.generate(idsOf(which), {
          features: featuresFor(which, features, golden.tiles.length),
          numBeams: 3,
          numReturnSequences: 3,
          maxNewTokens: 6,
        });
        expect(sequences.map(({ ids }) => ids)).toEqual(beams.map(({ tokens }) => tokens));
        expect(sequences.map(({ score }) => score)).toBeAllclose(
          beams.map(({ score }) => score),
          { within: 1e-4 },
        );
      });
    });
  });
}

/** The case as a caller of `chat` would write it: the pictures stand in the turn whose question has the marks. */
function chatArguments(golden: Golden, which: GoldenCase): Parameters<InternVL["chat"]> {
  const { question, history } = conversationOf(which);
  let tile = 0;
  const pictures = tilesAtMarks(which).map(
    (count): TiledPicture => ({ tiles: Array.from({ length: count }, () => tileOf(golden, tile++)) }),
  );
  const maxNewTokens = which.greedy.length;
  if (history.length === 0) return [question, { images: pictures, maxNewTokens }];
  return [question, { history: [{ ...history[0], images: pictures }], maxNewTokens }];
}

/** What leaves the embeddings and the last layer of the tower for one tile, each `[1 + g * g, H]`. */
async function visionStates(
  name: string,
  tile: Uint8Array,
): Promise<{ first: Float32Array; last: Float32Array }> {
  const files = await openFolder(goldenFolder(name));
  try {
    const description = await loadDescription(files);
    const store = await openCheckpoint(files);
    const { projector, vision } = description;
    const whole = { ...description, projector: { ...projector, visionStates: vision.layers } };
    const weights = await visionWeights(whole, store);
    const g = new Recorder("vision states");
    const pixels = g.input("tiles", "u8", 1, tile.length);
    g.output("first", recordVision(g, whole, { ...weights, layers: [] }, pixels));
    g.output("last", recordVision(g, whole, weights, pixels));
    const graph = g.finish();
    const backend = new ReferenceBackend("f32");
    const program = await backend.prepare(graph, await backend.loadWeights(graph.weights, store));
    const { first, last } = await program.run({ tiles: tile });
    return { first: first as Float32Array, last: last as Float32Array };
  } finally {
    await files.close();
  }
}

function meansOfRows(values: Float32Array, width: number): Float32Array {
  return Float32Array.from({ length: values.length / width }, (_, row) => {
    const part = values.subarray(row * width, (row + 1) * width);
    return part.reduce((sum, value) => sum + value, 0) / width;
  });
}
