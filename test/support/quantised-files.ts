import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openBlobs } from "../../src/checkpoint/files.ts";
import { goldenFolder } from "../golden-tokenizers.ts";

/** Quantises a row and gives it back as f32. */
type Rounding = (row: Float32Array) => Float32Array;

/** The bf16 number nearest to a value, ties to even. */
function toBf16(value: number): number {
  const word = new Uint32Array(Float32Array.of(value).buffer);
  word[0] = ((word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16) << 16;
  return new Float32Array(word.buffer)[0];
}

/** Halves away from zero. */
function nearest(ratio: number): number {
  return Math.sign(ratio) * Math.round(Math.abs(ratio));
}

/** One scale a row: the largest magnitude becomes `most`, of 127 steps. */
export function int8Row(row: Float32Array, most = 127): Float32Array {
  const scale = Math.fround(row.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / most);
  return row.map((value) => (scale === 0 ? 0 : nearest(Math.fround(value / scale)) * scale));
}

/** One bf16 scale for 32 columns: the value of largest magnitude becomes -8, of steps from -8 to 7. */
export function int4Row(row: Float32Array): Float32Array {
  const result = new Float32Array(row.length);
  for (let from = 0; from < row.length; from += 32) {
    const group = row.subarray(from, from + 32);
    const extreme = group.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const scale = toBf16(extreme / -8);
    const rounded = group.map((value) => {
      const q = scale === 0 ? 0 : nearest(Math.fround(value / scale));
      return Math.max(-8, Math.min(7, q)) * scale;
    });
    result.set(rounded, from);
  }
  return result;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A safetensors file in which the bf16 matrices that `roundingOf` names are f32, rounded row by row. */
function withRounded(file: Uint8Array, roundingOf: (tensor: string) => Rounding | undefined): Uint8Array {
  const headerBytes = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const { __metadata__, ...entries }: Record<string, Entry> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, 8 + headerBytes)),
  );
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, entry] of Object.entries(entries)) {
    const [from, to] = entry.data_offsets;
    let bytes = file.slice(8 + headerBytes + from, 8 + headerBytes + to);
    const rounding = roundingOf(name);
    if (rounding && entry.shape.length === 2) {
      const floats = new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (w) => w << 16).buffer);
      const columns = entry.shape[1];
      for (let at = 0; at < floats.length; at += columns) {
        floats.set(rounding(floats.slice(at, at + columns)), at);
      }
      bytes = new Uint8Array(floats.buffer);
      entry.dtype = "F32";
    }
    entry.data_offsets = [end, end + bytes.length];
    end += bytes.length;
    parts.push(bytes);
  }
  const text = new TextEncoder().encode(JSON.stringify(entries));
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(32);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  return new Uint8Array(Buffer.concat([header, ...parts]));
}

/**
 * A golden model whose products in the language model have the values that 8 or 4 bits leave of them, as f32: what
 * quantising at load should compute with. int4 keeps the output matrix in int8.
 */
export function roundedModel(model: string, weights: "int8" | "int4", int8: Rounding = int8Row) {
  const roundingOf = (tensor: string) => {
    if (!tensor.startsWith("language_model.") || tensor.includes("embed")) return undefined;
    const head = tensor.endsWith("output.weight") || tensor.endsWith("lm_head.weight");
    return weights === "int8" || head ? int8 : int4Row;
  };
  const folder = goldenFolder(model);
  const blobs = new Map<string, Blob>();
  for (const name of readdirSync(folder)) {
    const bytes = new Uint8Array(readFileSync(join(folder, name)));
    const isShard = /^model.*\.safetensors$/.test(name);
    blobs.set(name, new Blob([new Uint8Array(isShard ? withRounded(bytes, roundingOf) : bytes)]));
  }
  return openBlobs(model, blobs);
}
