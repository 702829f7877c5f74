// Who takes part: each makes its files once for a number of layers, and then runs as often as wanted, each time in a
// process of its own. A run gives milliseconds: { prefill, decode: [...], tile?, notes }.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeGguf } from "./gguf.mjs";
import { writeLanguage, writeTower } from "./onnx-models.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

async function child(words) {
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: here, maxBuffer: 1e8 });
  return JSON.parse(stdout.slice(stdout.indexOf("{")));
}

/** This package, through its own command: one picture of one tile, the rest of the prompt text. */
function ours(bits, weights) {
  return {
    name: "internvl",
    bits,
    weights,
    prepare: () => ({}),
    async run(_, { shape, model, layers, promptTokens, newTokens }) {
      const flags = { shape, layers, weights, tiles: 1, repeat: 1, device: "cpu" };
      flags["new-tokens"] = newTokens;
      flags["prompt-tokens"] = promptTokens - model.tiling.tokensPerTile;
      const words = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
      const report = await child([command, "bench", ...words, "--json"]);
      return {
        prefill: report.prefill.milliseconds,
        decode: [report.decode.msPerStep],
        tile: report.vision.msPerTile,
        notes: report.machine.kernels,
        limits: report.limits,
      };
    },
  };
}

function llama(bits, type, flashAttention) {
  return {
    name: "llama.cpp (node-llama-cpp)",
    bits,
    weights: `${type}${flashAttention ? "" : ", flash attention off"}`,
    prepare({ model, layers, folder }) {
      const file = join(folder, `${type}-${layers}.gguf`);
      return { file, make: () => writeGguf(file, model.language, layers, type) };
    },
    run: ({ file }, { promptTokens, newTokens, threads }) =>
      child(["llama-run.mjs", JSON.stringify({ file, promptTokens, newTokens, flashAttention, threads })]),
  };
}

function onnx(bits, kind, weights) {
  return {
    name: "onnxruntime-node",
    bits,
    weights,
    prepare({ model, layers, folder, promptTokens, newTokens }) {
      const language = join(folder, `language-${kind}-${layers}.onnx`);
      const tower = join(folder, `tower-${kind}-${layers}.onnx`);
      const make = () => {
        writeLanguage(language, model.language, layers, kind, promptTokens + newTokens + 64);
        writeTower(tower, model.vision, Math.min(layers, model.vision.layers), kind);
      };
      return { file: language, tower, make };
    },
    run: ({ file, tower }, { model, layers, promptTokens, newTokens, threads }) =>
      child([
        "onnx-run.mjs",
        JSON.stringify({ language: file, tower, model, layers, promptTokens, newTokens, threads }),
      ]),
  };
}

export const contenders = {
  "internvl-bf16": ours(16, "checkpoint"),
  "llama-bf16": llama(16, "BF16", true),
  "llama-bf16-plain": llama(16, "BF16", false),
  "onnx-f32": onnx(32, "f32", "f32"),
  "internvl-int8": ours(8, "int8"),
  "llama-q8": llama(8, "Q8_0", true),
  "llama-q8-plain": llama(8, "Q8_0", false),
  "onnx-int8": onnx(8, "int8", "int8, one scale a tensor"),
  "internvl-int4": ours(4, "int4"),
  "llama-q4": llama(4, "Q4_0", true),
  "llama-q4-plain": llama(4, "Q4_0", false),
  "onnx-int4": onnx(4, "int4", "int4, blocks of 32"),
};
