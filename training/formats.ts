// How many questions the product answers right with the weights held in a given way, and how often two ways agree.
//
//   node --import ./scripts/typescript.mjs training/formats.ts FOLDER [--weights checkpoint,int8,int4] [--device cpu] [--skills word,form]
//     [--most 100] [--out FILE.json] [--against FILE.json]
//
// INTERNVL_CPU=wasm takes WebAssembly. Answers are compared with the first row, or with that of an earlier run's file.
// FOLDER holds pictures and questions.json, as models/demo/samples does.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { InternVL, loadImage, type LoadOptions } from "../src/index.ts";

const { positionals, values: given } = parseArgs({
  allowPositionals: true,
  options: {
    weights: { type: "string", default: "checkpoint,int8,int4" },
    device: { type: "string", default: "cpu" },
    skills: { type: "string" },
    most: { type: "string", default: "1000000" },
    model: { type: "string", default: "demo" },
    out: { type: "string" },
    against: { type: "string" },
  },
});
const folder = `${positionals[0]}/`;
const only = given.skills?.split(",");
const samples = JSON.parse(readFileSync(`${folder}questions.json`, "utf8"))
  .filter(({ skill }: { skill: string }) => !only || only.includes(skill))
  .slice(0, Number(given.most));

let before: Record<string, string> | undefined = given.against && JSON.parse(readFileSync(given.against, "utf8"))[0].answers;
const table: Record<string, unknown>[] = [];
for (const weights of given.weights.split(",")) {
  const model = await InternVL.load(given.model, { weights, device: given.device } as LoadOptions);
  const answers: Record<string, string> = {};
  let right = 0;
  let slowest = 0;
  const began = performance.now();
  for (const { question, answer, image, images, frames, maxTiles } of samples) {
    const marks = images?.map((_: string, i: number) => `Image-${i + 1}: <image>\n`).join("") ?? "";
    const pictures = (images ?? (image ? [image] : [])).map((name: string) => folder + name);
    const video = frames && (await Promise.all(frames.map((name: string) => loadImage(folder + name))));
    const shown = video ? { video } : { images: pictures, maxTiles };
    const { text, timings } = await model.chat(marks + question, { ...shown, maxNewTokens: 100 });
    slowest = Math.max(slowest, timings.firstToken);
    answers[[image ?? images ?? frames, question].join(" ")] = text;
    if (text === answer) right++;
  }
  const same = before && Object.entries(answers).filter(([key, text]) => text === before?.[key]).length;
  before ??= answers;
  const row = { device: model.device, weights, right, of: samples.length, points: (100 * right) / samples.length, "same as the first": same };
  table.push({ ...row, seconds: (performance.now() - began) / 1000, "slowest first answer": slowest / 1000, answers });
  console.log(Object.entries(row).map(([name, value]) => `${name} ${value}`).join(", "));
  await model.dispose();
}
if (given.out) writeFileSync(given.out, `${JSON.stringify(table, null, 1)}\n`);
