// How long a first answer takes about a wide and a tall picture of 7 tiles: the median of five, each picture a new one.
//
//   node --import ./scripts/typescript.mjs training/first_answer.ts     (INTERNVL_CPU=wasm for WebAssembly)
import { InternVL, loadImage } from "../src/index.ts";

const wide = await loadImage(new URL("../examples/images/line.png", import.meta.url).pathname);
const tall = { width: wide.height, height: wide.width, data: new Uint8Array(wide.data.length) };
for (let y = 0; y < tall.height; y++) {
  for (let x = 0; x < tall.width; x++) {
    for (let c = 0; c < 3; c++) tall.data[(y * tall.width + x) * 3 + c] = wide.data[(x * wide.width + y) * 3 + c];
  }
}
const model = await InternVL.load("demo");
for (const [name, picture] of Object.entries({ wide, tall })) {
  const times: number[] = [];
  let first = 0;
  let tokens = 0;
  for (let run = 0; run < 5; run++) {
    picture.data[run] ^= 255; // what was computed for the last picture is of no use for this one
    const reply = await model.chat("What is the title?", { images: [picture], maxNewTokens: 30 });
    times.push(reply.timings.firstToken / 1000);
    if (run === 0) first = times[0];
    tokens = reply.usage.imageTokens;
  }
  const median = times.sort((a, b) => a - b)[2];
  console.log(`${process.env.INTERNVL_CPU ?? "native"} ${name} ${picture.width}x${picture.height}, ${tokens} tokens of pictures: first token after ${median.toFixed(2)} s (the first of all ${first.toFixed(2)} s)`);
}
await model.dispose();
