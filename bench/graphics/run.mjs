// InternVL2-8B on a graphics card: this package through WebGPU beside lean PyTorch, one after the other on the same
// machine. Needs dist (`npm run build`), the package `webgpu`, and python3 with torch for CUDA.
//
//   node bench/graphics/run.mjs [--weights checkpoint,int8,int4] [--batch 1,16] [--compile] [--json file]
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    weights: { type: "string", default: "checkpoint,int8,int4" },
    batch: { type: "string", default: "1,16" },
    compile: { type: "boolean", default: false },
    json: { type: "string" },
  },
});

/** The JSON that a command prints last. */
function run(command, args) {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim().split("\n").at(-1)}`);
  return JSON.parse(stdout.slice(stdout.indexOf("{")));
}

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const baseline = fileURLToPath(new URL("baseline.py", import.meta.url));
const results = [];
const row = (...cells) => console.log(`| ${cells.join(" | ")} |`);
const figure = (value, digits = 1) => (value === undefined || value === null ? "" : value.toFixed(digits));
row(
  "",
  "vision, 7 tiles, ms",
  "prefill, ms",
  "first token, ms",
  "decode, tokens/s",
  "of read limit",
  "load, s",
);
row("---", "---", "---", "---", "---", "---", "---");
for (const batch of options.batch.split(",")) {
  for (const weights of batch === "1" ? options.weights.split(",") : ["checkpoint"]) {
    const args = [
      "bench",
      "--device",
      "webgpu",
      "--shape",
      "8b",
      "--weights",
      weights,
      "--batch",
      batch,
      "--json",
    ];
    try {
      const report = run(process.execPath, [cli, ...args]);
      results.push(report);
      const { vision, prefill, decode, load, timeToFirstTokenMs } = report;
      row(
        `webgpu, ${weights}, batch ${batch}`,
        figure(vision.msPerTile * 7),
        figure(prefill.milliseconds),
        figure(timeToFirstTokenMs),
        figure(decode.tokensPerSecond),
        `${figure(decode.percentOfLimit, 0)} %`,
        figure(load.seconds),
      );
    } catch (error) {
      row(`webgpu, ${weights}, batch ${batch}`, error.message, "", "", "", "", "");
    }
  }
}
try {
  const torch = run("python3", [baseline, ...(options.compile ? ["--compile"] : [])]);
  results.push(torch);
  const first = torch.visionMilliseconds + torch.prefillMilliseconds;
  const decodes = {
    eager: "stepMilliseconds",
    "CUDA graph": "graphStepMilliseconds",
    "compiled and graph": "compiledStepMilliseconds",
  };
  for (const [name, key] of Object.entries(decodes)) {
    if (!torch[key]) continue;
    row(
      `PyTorch ${torch.torch}, ${name}`,
      figure(torch.visionMilliseconds),
      figure(torch.prefillMilliseconds),
      figure(first),
      figure(1000 / torch[key]),
      "",
      "",
    );
  }
} catch (error) {
  row("PyTorch", error.message, "", "", "", "", "");
}
if (options.json) writeFileSync(options.json, JSON.stringify(results, undefined, 2));
