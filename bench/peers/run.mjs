// node bench/peers/run.mjs: other engines and this one on the same dimensions, in turns. See bench/README.md. Needs a build,
// and `npm i` in this folder.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { contenders } from "./contenders.mjs";
import { dimensions } from "./shapes.mjs";
import { tableOf } from "./table.mjs";

const { values } = parseArgs({
  options: {
    shape: { type: "string", default: "8b" },
    layers: { type: "string", default: "2,8" },
    "prompt-tokens": { type: "string", default: "1856" },
    "new-tokens": { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: Object.keys(contenders).join(",") },
    folder: { type: "string", default: join(tmpdir(), "internvl-peers") },
    keep: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const number = (flag) => {
  const value = Number(values[flag]);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`--${flag}: must be a whole number from 1`);
  return value;
};
const model = dimensions(values.shape);
const counts = values.layers.split(",").map(Number);
if (
  counts.length > 2 ||
  counts.some((count, i) => !(count > (counts[i - 1] ?? 0) && count <= model.language.layers))
) {
  throw new RangeError(
    `--layers: must be one number of layers, or two in rising order (got ${values.layers})`,
  );
}
const names = values.only.split(",");
for (const name of names) {
  if (!contenders[name])
    throw new RangeError(`--only: knows ${Object.keys(contenders).join(", ")} (got ${name})`);
}
const task = {
  shape: values.shape,
  model,
  folder: values.folder,
  threads: availableParallelism(),
  promptTokens: number("prompt-tokens"),
  newTokens: number("new-tokens"),
};
if (task.promptTokens <= model.tiling.tokensPerTile) {
  throw new RangeError(`--prompt-tokens: must be above the ${model.tiling.tokensPerTile} tokens of one tile`);
}
mkdirSync(task.folder, { recursive: true });

/** By contender, then by number of layers: the runs. */
const runs = Object.fromEntries(
  names.map((name) => [name, Object.fromEntries(counts.map((count) => [count, []]))]),
);
const failures = {};
const loads = [];
try {
  // Round after round, everyone in turn: what else the machine does then touches all alike.
  for (let round = 1; round <= number("rounds"); round++) {
    for (const layers of counts) {
      for (const name of names) {
        if (failures[name]) continue;
        const contender = contenders[name];
        const made = contender.prepare({ ...task, layers });
        if (made.file && !existsSync(`${made.file}.done`)) {
          made.make();
          writeFileSync(`${made.file}.done`, "");
        }
        process.stderr.write(`round ${round}, ${layers} layers, ${name} ... `);
        loads.push(loadavg()[0]);
        try {
          const run = await contender.run(made, { ...task, layers });
          runs[name][layers].push(run);
          process.stderr.write(`prefill ${run.prefill.toFixed(0)} ms\n`);
        } catch (error) {
          failures[name] = String(error.stderr || error.message)
            .trim()
            .split("\n")
            .at(-1);
          process.stderr.write(`failed: ${failures[name]}\n`);
        }
      }
    }
  }
} finally {
  if (!values.keep) rmSync(task.folder, { recursive: true, force: true });
}

const machine = `${cpus()[0].model.trim()}, ${task.threads} threads, node ${process.version}`;
const text = tableOf({ task, counts, runs, failures, contenders, machine, loads, rounds: values.rounds });
console.log(text);

if (values.write) {
  const page = fileURLToPath(new URL("../../SPEED.md", import.meta.url));
  const [begin, end] = ["<!-- peers: written by bench/peers/run.mjs -->", "<!-- end of peers -->"];
  const before = existsSync(page) ? readFileSync(page, "utf8") : "# Speed\n";
  const section = `${begin}\n${text}\n${end}`;
  const from = before.indexOf(begin);
  const to = before.indexOf(end);
  const replaced = from >= 0 && to > from;
  writeFileSync(
    page,
    replaced
      ? before.slice(0, from) + section + before.slice(to + end.length)
      : `${before.trimEnd()}\n\n${section}\n`,
  );
}
