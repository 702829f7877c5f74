// Loading a checkpoint from files that the page cache holds: gigabytes a second, and the most memory the process had
// beside the packed weights. Writes the tensors of a published model with `--layers` layers and made-up weights into a
// temporary folder first, in shards as published. Needs dist (`npm run build`).
//
//   node bench/load.mjs [--shape internvl2-8b] [--layers 4] [--weights checkpoint,int8,int4] [--folder place] [--json file]
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CpuBackend } from "../dist/backend/cpu/backend.js";
import { openMachine } from "../dist/backend/cpu/open-machine.js";
import { nodeHost } from "../dist/benchmark/host.node.js";
import { SyntheticStore } from "../dist/benchmark/synthetic-store.js";
import { parseConfig } from "../dist/checkpoint/config.js";
import { openFolder } from "../dist/checkpoint/folder.node.js";
import { openCheckpoint } from "../dist/checkpoint/open.js";
import { publishedConfigs } from "../dist/checkpoint/published.js";
import { Network } from "../dist/model/network.js";

const { values: options } = parseArgs({
  options: {
    shape: { type: "string", default: "internvl2-8b" },
    layers: { type: "string", default: "4" },
    weights: { type: "string", default: "checkpoint,int8,int4" },
    folder: { type: "string", default: tmpdir() },
    json: { type: "string" },
    load: { type: "string" }, // what the process that measures is started with
  },
});
const published = publishedConfigs[options.shape.replace("internvl2-", "")];
const layers = { num_hidden_layers: Number(options.layers) };
const config = {
  ...published,
  vision_config: { ...published.vision_config, ...layers },
  llm_config: { ...published.llm_config, ...layers },
};

/** Published shards have at most 5 GB. */
const shardBytes = 5e9;

/** @returns the bytes of the tensors */
async function writeCheckpoint(folder) {
  const store = new SyntheticStore(parseConfig(config));
  const shards = [[]];
  let inShard = 0;
  for (const tensor of store.tensors.values()) {
    if (inShard > 0 && inShard + tensor.end - tensor.start > shardBytes) {
      shards.push([]);
      inShard = 0;
    }
    shards.at(-1).push(tensor);
    inShard += tensor.end - tensor.start;
  }
  const fileOf = (i) =>
    `model-${String(i + 1).padStart(5, "0")}-of-${String(shards.length).padStart(5, "0")}.safetensors`;
  const map = {};
  for (const [i, tensors] of shards.entries()) {
    let end = 0;
    const header = {};
    for (const { name, dtype, shape, start, end: stop } of tensors) {
      header[name] = { dtype, shape, data_offsets: [end, end + stop - start] };
      end += stop - start;
      map[name] = fileOf(i);
    }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const file = openSync(join(folder, fileOf(i)), "w");
    writeSync(file, length);
    writeSync(file, text);
    for (const { name, shape } of tensors) {
      const rowBytes = shape.slice(1).reduce((product, size) => product * size, 2);
      const step = Math.max(1, Math.floor(2 ** 24 / rowBytes));
      for (let row = 0; row < shape[0]; row += step) {
        writeSync(file, await store.readRows(name, row, Math.min(step, shape[0] - row)));
      }
    }
    closeSync(file);
  }
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: map }),
  );
}

if (options.load) {
  const opened = await openMachine();
  const backend = new CpuBackend(opened.machine, "fast", options.weights);
  const files = await openFolder(options.load);
  const store = await openCheckpoint(files);
  const bytes = [...store.tensors.values()].reduce((sum, { start, end }) => sum + end - start, 0);
  nodeHost.resetPeak();
  const before = nodeHost.peakMemory();
  const start = performance.now();
  const network = await Network.load(parseConfig(config), store, backend);
  const seconds = (performance.now() - start) / 1000;
  const peak = nodeHost.peakMemory();
  console.log(
    JSON.stringify({
      weights: options.weights,
      kernels: `${opened.machine.kind} ${opened.machine.variant}`,
      checkpointBytes: bytes,
      packedBytes: network.weightBytes,
      seconds,
      gigabytesPerSecond: bytes / seconds / 1e9,
      peakBytes: peak,
      besidePackedBytes: peak - network.weightBytes,
      beforeBytes: before,
    }),
  );
  process.exit(0);
}

const folder = mkdtempSync(join(options.folder, "internvl-load-"));
try {
  await writeCheckpoint(folder);
  const results = [];
  for (const weights of ["checkpoint", ...options.weights.split(",")]) {
    const args = [
      fileURLToPath(import.meta.url),
      "--load",
      folder,
      "--weights",
      weights,
      "--shape",
      options.shape,
      "--layers",
      options.layers,
    ];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    results.push(JSON.parse(stdout));
  }
  results.shift(); // that run warmed the page cache
  for (const {
    weights,
    kernels,
    checkpointBytes,
    packedBytes,
    seconds,
    gigabytesPerSecond,
    besidePackedBytes,
  } of results) {
    console.log(
      `${weights.padEnd(10)} ${kernels}: ${(checkpointBytes / 1e9).toFixed(2)} GB in ${seconds.toFixed(2)} s, ${gigabytesPerSecond.toFixed(2)} GB/s; ` +
        `packed ${(packedBytes / 1e9).toFixed(2)} GB, at most ${(besidePackedBytes / 1e9).toFixed(2)} GB beside`,
    );
  }
  if (options.json) writeFileSync(options.json, JSON.stringify(results, undefined, 2));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
