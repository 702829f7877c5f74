/** The two passes of the resize in WebAssembly SIMD (resize-passes.c): the same bytes as the plain ones. */

import { resizePasses } from "./resize-passes-bytes.ts";
import { bicubicWeights, type Weights } from "./resize-weights.ts";

/** One way to do both passes. */
export interface ResizePasses {
  /** `[height, width, 3]` to `[height, outputs, 3]`. */
  resizeAcross(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array;
  /** `[height, width, 3]` to `[outputs, width, 3]`. */
  resizeDown(data: Uint8Array, width: number, height: number, outputs: number): Uint8Array;
}

interface Exports {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  across: Pass;
  down: Pass;
}

type Pass = (
  data: number,
  columns: number,
  rows: number,
  outputs: number,
  first: number,
  weights: number,
  pairs: number,
  result: number,
) => void;

/** The kernels read and write a little beyond the pictures. */
const slack = 64;
/** Memory never shrinks: an instance that needed more than this is let go after use. */
const keptBytes = 2 ** 27;
const pageBytes = 65536;

let module: WebAssembly.Module | null | undefined;
let kept: Exports | undefined;

/** The fast passes, or undefined where WebAssembly has no SIMD. */
export function openResizePasses(): ResizePasses | undefined {
  module ??= compile();
  if (!module) return undefined;
  return {
    resizeAcross(data, width, height, outputs) {
      // Four taps at a time across.
      const weights = pairedWeights(bicubicWeights(width, outputs), 4);
      return run(data, height * outputs * 3, weights, (exports, at) =>
        exports.across(at.data, width, height, outputs, at.first, at.weights, weights.pairs, at.result),
      );
    },
    resizeDown(data, width, height, outputs) {
      const weights = pairedWeights(bicubicWeights(height, outputs), 2);
      return run(data, outputs * width * 3, weights, (exports, at) =>
        exports.down(at.data, width * 3, height, outputs, at.first, at.weights, weights.pairs, at.result),
      );
    },
  };
}

function compile(): WebAssembly.Module | null {
  const bytes = Uint8Array.from(atob(resizePasses), (character) => character.charCodeAt(0));
  return typeof WebAssembly === "object" && WebAssembly.validate(bytes)
    ? new WebAssembly.Module(bytes)
    : null;
}

interface PairedWeights {
  readonly first: Int32Array;
  readonly pairs: number;
  /** `[outputs, pairs, 2]`: the upper parts of two taps as 16-bit halves of a word, then their lower parts. */
  readonly words: Int32Array;
}

/** Weights as resize-passes.c wants them, the taps of an output padded to a multiple of `multiple`. */
function pairedWeights({ first, stride, values }: Weights, multiple: number): PairedWeights {
  const taps = Math.ceil(stride / multiple) * multiple;
  const outputs = first.length;
  const words = new Int32Array(outputs * taps);
  const halves = new Int16Array(words.buffer);
  for (let output = 0; output < outputs; output++) {
    for (let tap = 0; tap < stride; tap++) {
      const value = values[output * stride + tap];
      const at = output * taps * 2 + (tap >> 1) * 4 + (tap & 1);
      halves[at] = value >> 11;
      halves[at + 2] = value & 0x7ff;
    }
  }
  return { first, pairs: taps / 2, words };
}

/** Copies in, runs a pass, copies out. */
function run(
  data: Uint8Array,
  resultBytes: number,
  weights: PairedWeights,
  pass: (exports: Exports, at: Record<"data" | "first" | "weights" | "result", number>) => void,
): Uint8Array {
  kept ??= new WebAssembly.Instance(module!).exports as unknown as Exports;
  const exports = kept;
  let end = exports.__heap_base.value as number;
  const place = (bytes: number) => {
    const at = Math.ceil(end / 16) * 16;
    end = at + bytes + slack;
    return at;
  };
  const at = {
    first: place(weights.first.byteLength),
    weights: place(weights.words.byteLength),
    data: place(data.length),
    result: place(resultBytes),
  };
  const missing = end - exports.memory.buffer.byteLength;
  if (missing > 0) exports.memory.grow(Math.ceil(missing / pageBytes));
  const { buffer } = exports.memory;
  new Int32Array(buffer, at.first, weights.first.length).set(weights.first);
  new Int32Array(buffer, at.weights, weights.words.length).set(weights.words);
  new Uint8Array(buffer, at.data, data.length).set(data);
  pass(exports, at);
  const result = new Uint8Array(buffer, at.result, resultBytes).slice();
  if (buffer.byteLength > keptBytes) kept = undefined;
  return result;
}
