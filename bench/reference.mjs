// node bench/reference.mjs [folder ...]: the device "reference" on a checkpoint: tiles, prompt, tokens. Needs a build.
import { basename } from "node:path";
import { workOf } from "../dist/cli/work.js";
import { InternVL } from "../dist/index.js";
import { best, duration, loopSpeed, percent, report } from "./measure.mjs";

const given = process.argv.slice(2);
const folders = given.length > 0 ? given : ["tiny-8b", "tiny-2b"].map((name) => `test/golden/models/${name}`);
const limit = await loopSpeed();
const rows = [];

for (const folder of folders) {
  const start = performance.now();
  const model = await InternVL.load(folder, { device: "reference", precision: "f32" });
  const load = (performance.now() - start) / 1000;
  const work = await workOf(model.description);
  const row = (what, seconds, flops, speed) =>
    rows.push([
      basename(folder),
      what,
      duration(seconds),
      speed,
      `${(flops / seconds / 1e9).toPrecision(3)} GFLOP/s`,
      percent(flops / seconds / limit),
    ]);
  rows.push([basename(folder), "load", duration(load), "", "", ""]);

  const { tileSize } = model.description.tiling;
  const tile = Uint8Array.from({ length: tileSize ** 2 * 3 }, (_, i) => (i * 31) & 255);
  const encode = await best(2, () => model.encodeImages([tile]));
  row("encode a tile", encode, work.tile, `${(1 / encode).toPrecision(3)} tiles/s`);

  const length = 512;
  const ids = Array.from({ length }, (_, i) => 300 + (i % 200));
  const prefill = await best(2, () => model.logits(ids));
  const promptFlops = length * work.promptToken + (work.lookBack * length * (length + 1)) / 2;
  row(`read ${length} tokens`, prefill, promptFlops, `${(length / prefill).toPrecision(3)} tokens/s`);

  const count = 32;
  const prompt = ids.slice(0, 180);
  const generate = (tokens) =>
    best(2, () => model.generate(prompt, { maxNewTokens: tokens, minNewTokens: tokens }));
  const token = ((await generate(count + 1)) - (await generate(1))) / count;
  const before = prompt.length + count / 2;
  row(
    `new token after ${before}`,
    token,
    work.newToken + work.lookBack * before,
    `${(1 / token).toPrecision(3)} tokens/s`,
  );
  await model.dispose();
}
report(
  "Device reference, one core",
  [
    "checkpoint",
    "what",
    "time",
    "speed",
    "arithmetic",
    `share of a plain loop (${(limit / 1e9).toPrecision(3)} GFLOP/s)`,
  ],
  rows,
);
