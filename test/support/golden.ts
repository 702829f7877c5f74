import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { InternVL } from "../../src/chat/internvl.ts";
import type { LoadOptions } from "../../src/chat/load.ts";
import { openBlobs } from "../../src/checkpoint/files.ts";
import type { Tile } from "../../src/index.ts";
import { goldenFolder } from "../golden-tokenizers.ts";

/** One conversation, and what an independent float32 implementation made of it. */
export interface GoldenCase {
  readonly name: string;
  readonly turns: readonly (readonly ["user" | "assistant", string | null])[];
  /** Tiles at the conversation's one mark, or at each of its marks. */
  readonly tiles: number | readonly number[];
  /** The prompt's text without its `<IMG_CONTEXT>` tokens. */
  readonly query_without_context: string;
  /** The prompt's ids as runs `[id, times]`. */
  readonly input_ids_runs: readonly (readonly [number, number])[];
  readonly n_input_ids: number;
  readonly greedy: readonly number[];
  /** How far the best logit was above the second, at each greedy token. */
  readonly greedy_margin: readonly number[];
  readonly greedy_text: string;
  readonly beam3?: readonly { readonly score: number; readonly tokens: readonly number[] }[];
}

export interface Golden {
  readonly image_token: number;
  readonly stop: number;
  readonly tokens_per_tile: number;
  readonly cases: readonly GoldenCase[];
  /** The tensors of expected.safetensors by name. */
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
  /** RGB bytes of the two tiles, each `[S, S, 3]`. */
  readonly tiles: readonly Uint8Array[];
}

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

/** What is expected of a golden model. */
export function readGolden(model: string): Golden {
  const folder = goldenFolder(model);
  const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8"));
  const tensors = readTensors(readFileSync(join(folder, "expected.safetensors")));
  return { ...expected, tensors, tiles: channelsLast(tensors.get("tiles_u8")!) };
}

/** The F32 and U8 tensors of a safetensors file. */
export function readTensors(file: Uint8Array): Map<string, GoldenTensor> {
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> =
    JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
  return new Map(
    Object.entries(header).map(([name, { dtype, shape, data_offsets }]) => {
      const [from, to] = data_offsets;
      const bytes = new Uint8Array(file.subarray(8 + headerBytes + from, 8 + headerBytes + to));
      if (dtype !== "F32" && dtype !== "U8") throw new Error(`${name} is ${dtype}`);
      return [name, { shape, data: dtype === "F32" ? new Float32Array(bytes.buffer) : bytes }];
    }),
  );
}

/** `[T, 3, S, S]` to T arrays `[S, S, 3]`. */
function channelsLast({ shape, data }: GoldenTensor): Uint8Array[] {
  const [tiles, channels, height, width] = shape;
  const area = height * width;
  return Array.from({ length: tiles }, (_, tile) =>
    Uint8Array.from(
      { length: area * channels },
      (_, i) => data[(tile * channels + (i % channels)) * area + Math.floor(i / channels)],
    ),
  );
}

/** A golden model, in the plain backend unless said otherwise. */
export function loadGolden(
  model: string,
  precision: LoadOptions["precision"],
  device: LoadOptions["device"] = "reference",
): Promise<InternVL> {
  return InternVL.load(goldenFolder(model), { device, precision, onNotice: () => {} });
}

/**
 * A golden model with something wrong: `config` edits what config.json holds, `weights` the bytes of model.safetensors.
 */
export async function loadSpoiled(
  model: string,
  spoil: {
    config?: (config: Record<string, Record<string, unknown>>) => void;
    weights?: (file: Uint8Array<ArrayBuffer>) => void;
  },
): Promise<InternVL> {
  const folder = goldenFolder(model);
  const blobs = new Map<string, Blob>();
  for (const name of readdirSync(folder)) {
    let bytes = new Uint8Array(readFileSync(join(folder, name)));
    if (name === "config.json" && spoil.config) {
      const config = JSON.parse(new TextDecoder().decode(bytes));
      spoil.config(config);
      bytes = new TextEncoder().encode(JSON.stringify(config));
    }
    if (name === "model.safetensors") spoil.weights?.(bytes);
    blobs.set(name, new Blob([bytes]));
  }
  return InternVL.load(openBlobs(model, blobs), { device: "reference", precision: "f32" });
}

/** Exchanges two rows of a bf16 matrix in the bytes of a safetensors file. */
export function swapRows(file: Uint8Array, tensor: string, a: number, b: number): void {
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerBytes)));
  const { dtype, shape, data_offsets } = header[tensor];
  if (dtype !== "BF16") throw new Error(`${tensor} is ${dtype}`);
  const width = shape[1] * 2;
  const start = 8 + headerBytes + data_offsets[0];
  const row = (r: number) => file.subarray(start + r * width, start + (r + 1) * width);
  const kept = row(a).slice();
  row(a).set(row(b));
  row(b).set(kept);
}

/** The ids of a case's prompt. */
export function idsOf({ input_ids_runs }: GoldenCase): number[] {
  return input_ids_runs.flatMap(([id, times]) => new Array<number>(times).fill(id));
}

/** The tiles at each `<image>` mark of a case: their numbers. */
export function tilesAtMarks({ tiles }: GoldenCase): number[] {
  if (typeof tiles !== "number") return [...tiles];
  return tiles > 0 ? [tiles] : [];
}

/** How many tiles a case shows: always the first ones. */
export function tilesShown(which: GoldenCase): number {
  return tilesAtMarks(which).reduce((sum, count) => sum + count, 0);
}

/** The features of the first tiles, for a case's prompt; undefined where it has no picture. */
export function featuresFor(
  which: GoldenCase,
  features: Float32Array,
  tiles: number,
): Float32Array | undefined {
  const shown = tilesShown(which);
  return shown > 0 ? features.subarray(0, (features.length / tiles) * shown) : undefined;
}

/** The earlier turns of a case, and its question. */
export function conversationOf({ turns }: GoldenCase): {
  question: string;
  history: { question: string; answer: string }[];
} {
  const texts = turns.map(([, text]) => text ?? "");
  const history = Array.from({ length: turns.length / 2 - 1 }, (_, i) => ({
    question: texts[2 * i],
    answer: texts[2 * i + 1],
  }));
  return { question: texts[texts.length - 2], history };
}

/** A tile as pictures hold it. Any text serves as hash as long as equal tiles, and only they, have the same. */
export function tileOf(golden: Golden, index: number): Tile {
  return { pixels: golden.tiles[index], hash: `tile ${index}` };
}

/**
 * How far f32 results may be from a golden's, as a share of their range. Seen at most: 0.0000029. Tight enough to tell
 * GELU's approximation by tanh from the exact one (0.00007), and an epsilon of 1e-6 from 1e-5 (0.000014).
 */
export const goldenTolerance = { ofRange: 5e-6 };

/** Milliseconds for loading a golden model and encoding its tiles, on a machine that has much else to do. */
export const loadTimeout = 120_000;

/** Where the greedy tokens are others than expected. After each such place it goes on from the expected one. */
export async function differences(
  model: InternVL,
  which: GoldenCase,
  features: Float32Array | undefined,
): Promise<[at: number, token: number][]> {
  const found: [number, number][] = [];
  let done = 0;
  while (done < which.greedy.length) {
    const { sequences } = await model.generate([...idsOf(which), ...which.greedy.slice(0, done)], {
      features,
      maxNewTokens: which.greedy.length - done,
    });
    const rest = which.greedy.slice(done);
    const different = rest.findIndex((token, i) => sequences[0].ids[i] !== token);
    if (different < 0) break;
    found.push([done + different, sequences[0].ids[different]]);
    done += different + 1;
  }
  return found;
}
