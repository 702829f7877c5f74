// A clip, two questions. Frames are taken evenly over its length, one tile each.
//   npm run example -- video [checkpoint] [clip]
// Decoding needs ffmpeg on the PATH, or: npm i @mediabunny/server

import { readFile } from "node:fs/promises";
import { decodeImage, InternVL, MediaError, type Reply } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b", clip = "test/media/clip.mp4"] = process.argv.slice(2);
await using model = await InternVL.load(checkpoint);

let first: Reply;
try {
  first = await model.chat("What is the red panda doing?", { video: clip, segments: 8, maxNewTokens: 32 });
} catch (error) {
  if (!(error instanceof MediaError)) throw error;
  console.log(error.message); // names both ways to get a decoder
  // Frames from anywhere do as well.
  const frames = ["examples/photos/cat.jpg", "examples/photos/coffee.jpg"].map(async (path) =>
    decodeImage(await readFile(path)),
  );
  first = await model.chat("What is to be seen?", { video: await Promise.all(frames), maxNewTokens: 32 });
}
console.log(`User: ${first.history[0].question}\nAssistant:`, first.text);

const second = await model.chat("Describe this video in detail.", {
  history: first.history,
  maxNewTokens: 32,
});
console.log("User: Describe this video in detail.\nAssistant:", second.text);
