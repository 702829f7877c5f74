// The matrix products of InternVL2-8B on random weights, as shares of what this machine can do at most: bytes of weights
// a second for few rows, operations a second for many. Needs the native library and dist (`npm run build`). simd128 and
// relaxed are WebAssembly, beside the limits of WebAssembly itself.
//
//   node bench/kernels.mjs [--variants avx2,amx,simd128] [--formats bf16,int8,int4,f32] [--rows 1,8,64,1856] [--lanes 2]
//                          [--products "wqkv,w2"] [--precision fast|f32] [--check] [--json file]
//
// --check first compares rows computed alone with the same rows in a batch, bit for bit.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { openMachine } from "../dist/backend/cpu/open-machine.js";

const { values: options } = parseArgs({
  options: {
    variants: { type: "string" },
    formats: { type: "string", default: "bf16,int8,int4" },
    rows: { type: "string", default: "1,8,64,1856" },
    products: { type: "string" },
    lanes: { type: "string" },
    precision: { type: "string", default: "fast" },
    check: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const list = (text) => text.split(",");
const lanes = options.lanes ? Number(options.lanes) : undefined;

/** Outputs and columns; gated ones have two such weights. The last is the vision tower's. */
const shapes = [
  { name: "wqkv", outputs: 6144, columns: 4096 },
  { name: "wo", outputs: 4096, columns: 4096 },
  { name: "w1 w3", outputs: 14336, columns: 4096, gated: true },
  { name: "w2", outputs: 4096, columns: 14336 },
  { name: "vision fc1", outputs: 4096, columns: 1024 },
];
/** Bytes of a weight, and which of the limits its products in fast mode have on processors with such instructions. */
const formats = {
  f32: { number: 0, bytes: 4, scaleBytes: () => 0, limit: "f32" },
  bf16: { number: 1, bytes: 2, scaleBytes: () => 0, limit: "bf16" },
  int8: { number: 2, bytes: 1, scaleBytes: (outputs) => outputs * 4, limit: "int8" },
  int4: { number: 3, bytes: 0.5, scaleBytes: (outputs, columns) => (outputs * columns) / 16, limit: "int8" },
};
const kinds = { matmul: 3, gatedMatmul: 4 };
const operationWords = 64;
const headerWords = 16;
/** Weights of a pass together, so that no cache holds them. */
const passBytes = 2 ** 29;
const mostOperations = 32;

function bytesOf(block) {
  return new Uint8Array(block.view(), block.viewOffset, block.bytes);
}

/** Fills memory with a pattern, again and again. */
function fillWith(block, pattern) {
  const to = bytesOf(block);
  for (let at = 0; at < to.length; at += pattern.length) {
    to.set(pattern.subarray(0, Math.min(pattern.length, to.length - at)), at);
  }
}

function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
}

const next = random(7);
const floats = Float32Array.from({ length: 65521 }, () => next() + next() + next());
const toBf16 = (values) =>
  new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), (w) => w >>> 16).buffer);
const patterns = {
  f32: new Uint8Array(floats.buffer),
  bf16: toBf16(floats),
  int8: Uint8Array.from({ length: 65521 }, () => (next() * 254) | 0),
  int4: Uint8Array.from({ length: 65521 }, () => (next() * 256) | 0),
};
const scalePatterns = {
  int8: new Uint8Array(Float32Array.from({ length: 16381 }, () => 0.01 + next() / 200).buffer),
  int4: toBf16(Float32Array.from({ length: 16381 }, () => 0.1 + next() / 20)),
};

/** Copies of a product in one program, each with weights of its own. */
function prepare(machine, shape, formatName, rows) {
  const format = formats[formatName];
  const { outputs, columns, gated } = shape;
  const weights = gated ? 2 : 1;
  // Panels are 16 rows by a multiple of 64 columns.
  const padded = [Math.ceil(outputs / 16) * 16, Math.ceil(columns / 64) * 64];
  const weightBytes = padded[0] * padded[1] * format.bytes;
  const scaleBytes = format.scaleBytes(...padded);
  const bytes = weights * (weightBytes + scaleBytes);
  const count = rows > 16 ? 1 : Math.min(mostOperations, Math.max(1, Math.ceil(passBytes / bytes)));
  const blocks = [];
  const allocate = (size, pattern) => {
    const block = machine.allocate(size);
    blocks.push(block);
    if (pattern) fillWith(block, pattern);
    return block;
  };
  const input = allocate(rows * columns * 4, patterns.f32);
  const output = allocate(rows * outputs * 4);
  const tensor = (block, width) => [block.address, rows, width, width];
  const none = [0, 0, 0, 0];
  const weight = () => [
    allocate(weightBytes, patterns[formatName]).address,
    scaleBytes > 0 ? allocate(scaleBytes, scalePatterns[formatName]).address : 0,
    outputs,
    columns,
    format.number,
  ];
  const program = allocate((headerWords + count * operationWords) * 8);
  const words = new BigInt64Array(program.view(), program.viewOffset, headerWords + count * operationWords);
  words.set([
    BigInt(count),
    program.address + BigInt(headerWords * 8),
    0n,
    options.precision === "fast" ? 1n : 0n,
  ]);
  for (let i = 0; i < count; i++) {
    const operation = gated
      ? [kinds.gatedMatmul, tensor(input, columns), tensor(output, outputs), weight(), weight()]
      : [kinds.matmul, tensor(input, columns), none, none, tensor(output, outputs), weight(), 0, 0, 0];
    words.set(operation.flat().map(BigInt), headerWords + i * operationWords);
  }
  const workspace = allocate(machine.workspaceBytes(program.address) + 64);
  words[2] = workspace.address;
  return {
    bytes,
    flops: 2 * weights * outputs * columns * rows,
    output,
    input,
    /** Seconds of one product in one run. */
    async run() {
      await machine.run(program.address);
      let nanoseconds = 0;
      for (let i = 0; i < count; i++)
        nanoseconds += Number(words[headerWords + (i + 1) * operationWords - 3]);
      return nanoseconds / 1e9 / count;
    },
    dispose() {
      for (const block of blocks) machine.free(block);
    },
  };
}

async function measure(machine, shape, format, rows) {
  const product = prepare(machine, shape, format, rows);
  try {
    const seconds = [];
    const begin = performance.now();
    await product.run();
    while (seconds.length < 3 || (seconds.length < 15 && performance.now() - begin < 1500)) {
      seconds.push(await product.run());
    }
    seconds.sort((a, b) => a - b);
    const median = seconds[seconds.length >> 1];
    return {
      best: seconds[0],
      median,
      gigabytesPerSecond: product.bytes / seconds[0] / 1e9,
      gigaflops: product.flops / seconds[0] / 1e9,
    };
  } finally {
    product.dispose();
  }
}

/** Rows of a batch against the same rows alone. */
async function checkInvariance(machine, format) {
  const shape = { outputs: 100, columns: 1600 };
  const rows = 70;
  const batch = prepare(machine, shape, format, rows);
  const alone = prepare(machine, shape, format, 1);
  await batch.run();
  let different = 0;
  for (let n = 0; n < rows; n++) {
    const width = shape.columns * 4;
    bytesOf(alone.input).set(bytesOf(batch.input).subarray(n * width, (n + 1) * width));
    await alone.run();
    const from = n * shape.outputs * 4;
    if (
      Buffer.compare(
        bytesOf(alone.output),
        bytesOf(batch.output).subarray(from, from + shape.outputs * 4),
      ) !== 0
    ) {
      different++;
    }
  }
  batch.dispose();
  alone.dispose();
  return different;
}

const results = [];
const everyVariant = "baseline,avx2,avx512,avx512bf16,amx,simd128,relaxed";
for (const variant of list(options.variants ?? everyVariant)) {
  const opened = await openMachine(variant, { lanes }).catch((error) => ({ absent: error.message }));
  if ("absent" in opened) {
    console.log(`${variant}: ${opened.absent}`);
    continue;
  }
  const { machine } = opened;
  const read = await machine.limits.readRate(passBytes);
  const rates = {};
  for (const kind of ["f32", "bf16", "int8"]) rates[kind] = await machine.limits.productRate(kind);
  const said = Object.entries(rates).map(([kind, rate]) => `${kind} ${(rate / 1e9).toFixed(0)}`);
  console.log(
    `\n${variant}, ${machine.lanes} lanes: reads ${(read / 1e9).toFixed(1)} GB/s; GFLOP/s ${said.join(", ")}`,
  );
  console.log("format  product      rows      ms     GB/s  % read   GFLOP/s  % rate");
  for (const format of list(options.formats)) {
    if (options.check) {
      const different = await checkInvariance(machine, format);
      console.log(
        `${format.padEnd(7)} rows alone and in a batch: ${different ? `${different} DIFFER` : "the same bits"}`,
      );
    }
    for (const shape of shapes.filter(
      ({ name }) => !options.products || list(options.products).includes(name),
    )) {
      for (const rows of list(options.rows).map(Number)) {
        const result = await measure(machine, shape, format, rows);
        const kind =
          options.precision === "fast" && rates[formats[format].limit] > 0 ? formats[format].limit : "f32";
        const percentOfRead = (result.gigabytesPerSecond / (read / 1e9)) * 100;
        const percentOfRate = (result.gigaflops / (rates[kind] / 1e9)) * 100;
        results.push({ variant, format, product: shape.name, rows, ...result, percentOfRead, percentOfRate });
        const columns = [
          [(result.best * 1e3).toFixed(2), 8],
          [result.gigabytesPerSecond.toFixed(1), 9],
          [percentOfRead.toFixed(0), 8],
          [result.gigaflops.toFixed(0), 10],
          [percentOfRate.toFixed(0), 8],
        ].map(([text, width]) => text.padStart(width));
        console.log(
          `${format.padEnd(7)} ${shape.name.padEnd(11)} ${String(rows).padStart(5)}${columns.join("")}`,
        );
      }
    }
  }
  await machine.dispose();
}
if (options.json) writeFileSync(options.json, JSON.stringify(results, undefined, 2));
