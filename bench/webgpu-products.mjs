// Products of the webgpu backend alone, at InternVL2-8B's shapes: node bench/webgpu-products.mjs [few|many|token ...]
// Weights lie at many places of a pool far larger than any cache. Each line: time of one dispatch among many that
// depend on each other, the least and the median of five; the clocks are kept up by other work before.
import { openDevice } from "../dist/backend/webgpu/device.js";
import { dotGemv, dotGemvWorkgroups } from "../dist/backend/webgpu/kernels/dot-gemv.wgsl.js";
import { gemv, gemvWorkgroups } from "../dist/backend/webgpu/kernels/gemv.wgsl.js";
import { matrixGemm, matrixGemmWorkgroups } from "../dist/backend/webgpu/kernels/matrix-gemm.wgsl.js";
import { weightLayout } from "../dist/backend/webgpu/kernels/product.js";
import { dotSharings, matrixTiles } from "../dist/backend/webgpu/kernels/product-tiles.js";
import { Pipelines } from "../dist/backend/webgpu/pipelines.js";

const device = await openDevice();
const { gpu } = device;
const pipelines = new Pipelines(device);
const asked = process.argv.slice(2);
const shapes = {
  wqkv: [4096, 6144],
  wo: [4096, 4096],
  gated: [4096, 14336],
  w2: [14336, 4096],
  head: [4096, 92553],
};
const storage = 0x80 | 8;
const align = (bytes) => Math.ceil(bytes / 256) * 256;

const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
const largest = Math.min(2 ** 31 - 2 ** 24, maxBufferSize, maxStorageBufferBindingSize);
if (largest < 2 ** 30) {
  console.error(`${device.name} has buffers of ${largest / 2 ** 20} MiB at most: this needs some of 1 GiB`);
  process.exit(1);
}
const buffers = Object.fromEntries(
  Object.entries({
    pool: largest,
    scales: 2 ** 28,
    input: 2 ** 28,
    output: 2 ** 28,
    residual: 2 ** 28,
    status: 256,
  }).map(([name, size]) => [name, gpu.createBuffer({ size: Math.min(size, largest), usage: storage })]),
);
// f16 of about 0.01 and either sign; as good as any integers, scales and inputs.
await fill(buffers.pool, 0x83ff83ff, 0x20002000);
await fill(buffers.scales, 0x007f007f, 0x3c003c00);
await fill(buffers.input, 0x83ff83ff, 0x38003800);

async function fill(buffer, mask, bits) {
  const code = `@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@compute @workgroup_size(256) fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * 256u;
  if (i >= arrayLength(&words)) { return; }
  var hash = (i ^ (i >> 11u)) * 2654435761u;
  hash = (hash ^ (hash >> 15u)) * 2246822519u;
  words[i] = ((hash ^ (hash >> 13u)) & ${mask}u) | ${bits}u;
}`;
  const filling = await pipelines.get({ key: code, code, bindings: ["write"], features: [] });
  const groups = Math.ceil(buffer.size / 1024);
  const group = bind(filling, [{ buffer }]);
  await submit((pass) =>
    dispatch(pass, filling, group, [Math.min(groups, 32768), Math.ceil(groups / 32768), 1]),
  );
}

function bind({ layout }, resources) {
  return gpu.createBindGroup({
    layout,
    entries: resources.map((resource, binding) => ({ binding, resource })),
  });
}

function dispatch(pass, { pipeline }, group, workgroups) {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...workgroups);
}

async function submit(encode) {
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  encode(pass);
  pass.end();
  const since = performance.now();
  gpu.queue.submit([encoder.finish()]);
  await gpu.queue.onSubmittedWorkDone();
  return performance.now() - since;
}

/** A product that can be dispatched again and again, its weights elsewhere each time. */
async function prepare(kernel, options, rows, workgroups) {
  const compiled = await pipelines.get(kernel);
  const { columns, outputs, format, gated, epilogue = {}, normalise, input = "f32" } = options;
  const layout = weightLayout(outputs, columns, format);
  const sides = gated ? 2 : 1;
  const span = align(layout.values) * sides;
  const places = Math.min(60, Math.floor(buffers.pool.size / span));
  const sizes = gpu.createBuffer({ size: 256, usage: 0x40 | 8 });
  gpu.queue.writeBuffer(
    sizes,
    0,
    Uint32Array.from([rows, columns, 0, outputs, 0, outputs, 0, 1, 0, columns, outputs]),
  );
  const part = (buffer, bytes, offset = 0) => ({ buffer, offset, size: align(bytes) });
  const groups = Array.from({ length: places }, (_, place) =>
    bind(compiled, [
      part(buffers.input, rows * columns * (input === "f16" ? 2 : 4)),
      ...sidesOf(sides, (side) =>
        part(buffers.pool, layout.values, place * span + side * align(layout.values)),
      ),
      ...(layout.scales > 0
        ? sidesOf(sides, (side) => part(buffers.scales, layout.scales, side * align(layout.scales)))
        : []),
      ...(normalise ? [part(buffers.scales, columns * 4)] : []),
      ...(epilogue.bias ? [part(buffers.scales, outputs * 4)] : []),
      ...(epilogue.residual ? [part(buffers.residual, rows * outputs * 4)] : []),
      part(buffers.output, rows * outputs * 4),
      ...(options.tile && input === "f32" ? [part(buffers.status, 256)] : []),
      { buffer: sizes },
    ]),
  );
  return {
    bytes: sides * (layout.values + layout.scales),
    flops: 2 * rows * columns * outputs * sides,
    encode: (pass, i) => dispatch(pass, compiled, groups[i % places], workgroups),
  };
}

function sidesOf(sides, make) {
  return Array.from({ length: sides }, (_, side) => make(side));
}

const ofRow = async (shape, format, options = {}) => {
  const [columns, outputs] = shapes[shape];
  const o = { columns, outputs, format, rows: 1, gated: shape === "gated", ...options };
  return { product: await prepare(gemv(o), o, 1, gemvWorkgroups(o)), name: `${shape} ${gemv(o).key}` };
};
const ofRowInIntegers = async (shape, sharing) => {
  const [columns, outputs] = shapes[shape];
  const lanes = Math.min(32, device.info.subgroupMinSize);
  const o = { columns, outputs, format: "int4", rows: 1, gated: shape === "gated", lanes, ...sharing };
  return {
    product: await prepare(dotGemv(o), o, 1, dotGemvWorkgroups(o)),
    name: `${shape} ${dotGemv(o).key}`,
  };
};
const ofRows = async (columns, outputs, rows, tile, options = {}) => {
  const o = { columns, outputs, format: "f16", input: "f16", tile, ...options };
  const product = await prepare(matrixGemm(o), o, rows, matrixGemmWorkgroups(o, rows));
  return { product, name: `${rows} rows ${matrixGemm(o).key}` };
};

let warmer;
async function warm() {
  warmer ??= (await ofRow("gated", "f16")).product;
  const until = performance.now() + 300;
  while (performance.now() < until) await submit((pass) => times(100, (i) => warmer.encode(pass, i)));
}

function times(count, each) {
  for (let i = 0; i < count; i++) each(i);
}

/** Milliseconds of one of `count` in a pass: the least and the median of five passes. */
async function measure(encode, count) {
  await warm();
  const took = [];
  for (let pass = 0; pass < 6; pass++)
    took.push((await submit((on) => times(count, (i) => encode(on, i)))) / count);
  took.shift();
  took.sort((a, b) => a - b);
  return [took[0], took[2]];
}

async function report({ product: { bytes, flops, encode }, name }) {
  const [least, median] = await measure(
    encode,
    Math.max(4, Math.min(400, Math.round(Math.min(15e9 / bytes, 4e12 / flops)))),
  );
  const rates = `${(bytes / median / 1e6).toFixed(0)} GB/s ${(flops / median / 1e9).toFixed(1)} TFLOP/s`;
  console.log(`${(least * 1000).toFixed(1)} ${(median * 1000).toFixed(1)} us  ${rates}  ${name}`);
}

/** All products of a token of 8B: 32 layers and the head, in one pass. */
async function token(format, normalise) {
  const norm = (shape) =>
    normalise && ["wqkv", "gated", "head"].includes(shape) ? { normalise: { epsilon: 1e-5 } } : {};
  const headFormat = format === "int4" ? "int8" : format;
  const [wqkv, wo, gated, w2, head] = await Promise.all(
    Object.keys(shapes).map((shape) =>
      ofRow(shape, shape === "head" ? headFormat : format, {
        ...norm(shape),
        ...(shape === "wo" || shape === "w2" ? { epilogue: { residual: true } } : {}),
      }),
    ),
  );
  let place = 0;
  const [least, median] = await measure((pass) => {
    times(32, () => {
      place++;
      for (const { product } of [wqkv, wo, gated, w2]) product.encode(pass, place);
    });
    head.product.encode(pass, place);
  }, 8);
  const note = `${(1000 / median).toFixed(1)} tokens/s  products of a token, ${format}${normalise ? ", norms inside" : ""}`;
  console.log(`${least.toFixed(3)} ${median.toFixed(3)} ms  ${note}`);
}

console.log(device.name);
const wanted = (part) => asked.length === 0 || asked.includes(part);
if (wanted("few")) {
  for (const format of ["f16", "bf16", "int8", "int4"])
    for (const shape of Object.keys(shapes)) await report(await ofRow(shape, format));
  for (const shape of Object.keys(shapes))
    for (const sharing of dotSharings.int4) await report(await ofRowInIntegers(shape, sharing));
}
if (wanted("token"))
  for (const format of ["f16", "int8", "int4"]) for (const norms of [false, true]) await token(format, norms);
if (wanted("many") && device.features.has("chromium-experimental-subgroup-matrix")) {
  const tile = (rows, outputs, depth, down, across, along = 1, ahead = 1) => ({
    rows,
    outputs,
    depth,
    down,
    across,
    along,
    ahead,
  });
  const wide = tile(128, 128, 32, 2, 2);
  for (const [K, M, rows, options] of [
    [4096, 6144, 1856, {}],
    [4096, 4096, 1856, {}],
    [4096, 14336, 1856, { gated: true }],
    [14336, 4096, 1856, {}],
    [1024, 4096, 7175, { epilogue: { bias: true, activation: "gelu" } }],
    [4096, 6144, 1856, { input: "f32" }],
    [4096, 6144, 1856, { format: "int8" }],
    [4096, 6144, 1856, { format: "int4" }],
  ])
    await report(await ofRows(K, M, rows, wide, options));
  for (const [shape, [K, M]] of Object.entries(shapes)) {
    const gated = shape === "gated";
    for (const narrow of matrixTiles(16, gated)) await report(await ofRows(K, M, 16, narrow, { gated }));
  }
}
device.destroy();
