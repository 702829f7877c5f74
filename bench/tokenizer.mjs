// node bench/tokenizer.mjs [folder ...]: encoding and decoding a million characters of mixed text. Needs a build.
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createTokenizer, tokenizerFiles } from "../dist/text/tokenizer.js";
import { best, duration, once, report } from "./measure.mjs";

const given = process.argv.slice(2);
const folders =
  given.length > 0 ? given : ["tiny-8b", "tiny-1b", "tiny-76b"].map((name) => `test/golden/models/${name}`);
const { tokenizer: samples } = JSON.parse(readFileSync("test/golden/models/tiny-8b/expected.json", "utf8"));
const mixed = samples.map(({ text }) => text).join("\n");
const million = 1_000_000;
const texts = {
  "mixed text": mixed.repeat(Math.ceil(million / mixed.length)).slice(0, million),
  "one letter": "a".repeat(million),
};

const rows = [];
for (const folder of folders) {
  const present = tokenizerFiles.filter((name) => existsSync(join(folder, name)));
  const files = new Map(present.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
  const make = await best(3, () => createTokenizer(files));
  const tokenizer = createTokenizer(files);
  for (const [name, text] of Object.entries(texts)) {
    const fresh = createTokenizer(files);
    const first = await once(() => fresh.encode(text));
    const ids = tokenizer.encode(text);
    const encode = await best(3, () => tokenizer.encode(text));
    const decode = await best(3, () => tokenizer.decode(ids));
    const speed = (seconds) => `${(text.length / 1e6 / seconds).toPrecision(3)} M characters/s`;
    rows.push([
      basename(folder),
      name,
      duration(make),
      speed(first),
      speed(encode),
      `${speed(decode)}, ${(ids.length / 1e6 / decode).toPrecision(3)} M tokens/s`,
    ]);
  }
}
report("Tokenizers", ["tokenizer", "text", "opening", "encode, first time", "encode, again", "decode"], rows);
