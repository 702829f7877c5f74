// Writes a GGUF file (version 3) of a Llama with random weights, for llama.cpp. The format is that of ggml's docs/gguf.md
// and the block layouts of ggml-common.h.
import { closeSync, openSync, writeSync } from "node:fs";
import { bf16, bits, f16, normal, pieces } from "./random.mjs";

/** Number, values and bytes of a block, and what `general.file_type` calls a file of it. */
const types = {
  F32: { number: 0, values: 1, bytes: 4 },
  Q4_0: { number: 2, values: 32, bytes: 18, file: 2 },
  Q8_0: { number: 8, values: 32, bytes: 34, file: 7 },
  Q6_K: { number: 14, values: 256, bytes: 210 },
  BF16: { number: 30, values: 1, bytes: 2, file: 32 },
};

const deviation = 1 / 64;
const poolBytes = 2 ** 23;

/** Blocks of a type whose values have about the deviation of real weights. */
function makePool(type) {
  const { bytes } = types[type];
  const blocks = Math.floor(poolBytes / bytes);
  const pool = Buffer.alloc(blocks * bytes);
  for (let at = 0; at < pool.length; at += bytes) {
    if (type === "BF16") pool.writeUInt16LE(bf16(normal() * deviation), at);
    if (type === "Q8_0") {
      pool.writeUInt16LE(f16(deviation / 40), at);
      for (let i = 2; i < bytes; i++)
        pool.writeInt8(Math.max(-127, Math.min(127, Math.round(normal() * 40))), at + i);
    }
    if (type === "Q4_0") {
      // Evenly spread nibbles less 8 have a deviation of 4.6.
      pool.writeUInt16LE(f16(deviation / 4.6), at);
      for (let i = 2; i < bytes; i++) pool[at + i] = bits() & 255;
    }
    if (type === "Q6_K") {
      // 128 + 64 bytes of values, 16 scales of a byte, one f16 for all; values less 32 have a deviation of 18.5.
      for (let i = 0; i < 192; i++) pool[at + i] = bits() & 255;
      pool.fill(2, at + 192, at + 208);
      pool.writeUInt16LE(f16(deviation / 18.5 / 2), at + 208);
    }
  }
  return pool;
}

const number32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const number64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const float32 = (value) => Buffer.from(Float32Array.of(value).buffer);
const string = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([number64(bytes.length), bytes]);
};

/** GGUF's value types, and how each is written. */
const kinds = {
  u32: [4, number32],
  i32: [5, number32],
  f32: [6, float32],
  bool: [7, (value) => Buffer.from([value ? 1 : 0])],
  string: [8, string],
};
const entry = (key, kind, value) =>
  Buffer.concat([string(key), number32(kinds[kind][0]), kinds[kind][1](value)]);
const list = (key, kind, values) =>
  Buffer.concat([
    string(key),
    number32(9),
    number32(kinds[kind][0]),
    number64(values.length),
    ...values.map(kinds[kind][1]),
  ]);

/** llama.cpp wants a vocabulary, though it is given token ids only. */
function vocabulary(size) {
  const special = ["<unk>", "<s>", "</s>"];
  const tokens = Array.from({ length: size }, (_, i) => {
    if (i < 3) return special[i];
    return i < 259 ? `<0x${(i - 3).toString(16).toUpperCase().padStart(2, "0")}>` : `▁t${i}`;
  });
  const tokenTypes = tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1));
  return [
    entry("tokenizer.ggml.model", "string", "llama"),
    list("tokenizer.ggml.tokens", "string", tokens),
    list(
      "tokenizer.ggml.scores",
      "f32",
      tokens.map((_, i) => -i),
    ),
    list("tokenizer.ggml.token_type", "i32", tokenTypes),
    entry("tokenizer.ggml.bos_token_id", "u32", 1),
    entry("tokenizer.ggml.eos_token_id", "u32", 2),
    entry("tokenizer.ggml.unknown_token_id", "u32", 0),
    entry("tokenizer.ggml.add_bos_token", "bool", true),
    entry("tokenizer.ggml.add_eos_token", "bool", false),
  ];
}

/** Name, dimensions (the fast one first) and type of every tensor. The head of a 4-bit file is Q6_K, as llama.cpp's own. */
function tensorsOf(language, layers, type) {
  const {
    hiddenSize: width,
    intermediateSize: inner,
    heads,
    keyValueHeads,
    headSize,
    vocabularySize,
  } = language;
  const keys = keyValueHeads * headSize;
  const tensors = [["token_embd.weight", [width, vocabularySize], type]];
  for (let i = 0; i < layers; i++) {
    const add = (name, dimensions, of = type) => tensors.push([`blk.${i}.${name}.weight`, dimensions, of]);
    add("attn_norm", [width], "F32");
    add("attn_q", [width, heads * headSize]);
    add("attn_k", [width, keys]);
    add("attn_v", [width, keys]);
    add("attn_output", [heads * headSize, width]);
    add("ffn_norm", [width], "F32");
    add("ffn_gate", [width, inner]);
    add("ffn_up", [width, inner]);
    add("ffn_down", [inner, width]);
  }
  tensors.push(["output_norm.weight", [width], "F32"]);
  tensors.push(["output.weight", [width, vocabularySize], type === "Q4_0" ? "Q6_K" : type]);
  return tensors;
}

/** Writes the file. @param type BF16, Q8_0 or Q4_0 @returns its bytes */
export function writeGguf(path, language, layers, type) {
  const metadata = [
    entry("general.architecture", "string", "llama"),
    entry("general.name", "string", `random weights, ${layers} layers, ${type}`),
    entry("general.file_type", "u32", types[type].file),
    entry("general.alignment", "u32", 32),
    entry("general.quantization_version", "u32", 2),
    entry("llama.block_count", "u32", layers),
    entry("llama.context_length", "u32", language.contextLength),
    entry("llama.embedding_length", "u32", language.hiddenSize),
    entry("llama.feed_forward_length", "u32", language.intermediateSize),
    entry("llama.attention.head_count", "u32", language.heads),
    entry("llama.attention.head_count_kv", "u32", language.keyValueHeads),
    entry("llama.attention.layer_norm_rms_epsilon", "f32", language.normEpsilon),
    entry("llama.rope.freq_base", "f32", language.rope.theta),
    entry("llama.rope.dimension_count", "u32", language.headSize),
    entry("llama.vocab_size", "u32", language.vocabularySize),
    ...vocabulary(language.vocabularySize),
  ];
  const tensors = tensorsOf(language, layers, type);
  const bytesOf = (dimensions, of) =>
    (dimensions.reduce((a, b) => a * b, 1) / types[of].values) * types[of].bytes;
  const aligned = (bytes) => Math.ceil(bytes / 32) * 32;
  let offset = 0;
  const infos = tensors.map(([name, dimensions, of]) => {
    const parts = [string(name), number32(dimensions.length), ...dimensions.map(number64)];
    const info = Buffer.concat([...parts, number32(types[of].number), number64(offset)]);
    offset += aligned(bytesOf(dimensions, of));
    return info;
  });
  const counts = [number64(tensors.length), number64(metadata.length)];
  const header = Buffer.concat([Buffer.from("GGUF"), number32(3), ...counts, ...metadata, ...infos]);
  const file = openSync(path, "w");
  const write = (bytes) => {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
  };
  const pad = (bytes) => write(Buffer.alloc(aligned(bytes) - bytes));
  write(header);
  pad(header.length);
  const pools = {};
  for (const [, dimensions, of] of tensors) {
    const bytes = bytesOf(dimensions, of);
    if (of === "F32") write(Buffer.from(new Float32Array(bytes / 4).fill(1).buffer));
    else {
      pools[of] ??= makePool(of);
      for (const piece of pieces(pools[of], bytes, types[of].bytes)) write(piece);
    }
    pad(bytes);
  }
  closeSync(file);
  return aligned(header.length) + offset;
}
