// An answer piece by piece.
//   npm run example -- stream [checkpoint] [picture]
import { InternVL } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b", picture = "examples/photos/cat.jpg"] =
  process.argv.slice(2);
await using model = await InternVL.load(checkpoint);

const stream = model.stream("Please describe the image in detail.", {
  images: [picture],
  maxTiles: 6,
  maxNewTokens: 64,
  onProgress: ({ phase, loaded, total }) => console.error(`${phase}: ${loaded} of ${total}`),
});
for await (const { text } of stream) process.stdout.write(text); // `break` would cancel
process.stdout.write("\n");

const { usage, timings, finishReason } = await stream.reply;
console.log({ ...usage, ...timings, finishReason });
