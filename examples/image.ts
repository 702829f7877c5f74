// One picture, several questions.
//   npm run example -- image [checkpoint] [picture]
import { InternVL } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b", picture = "examples/photos/cat.jpg"] =
  process.argv.slice(2);
await using model = await InternVL.load(checkpoint);

// Without an <image> mark in the question, the picture stands in front of it.
const first = await model.chat("Please describe the image in detail.", {
  images: [picture],
  maxTiles: 6,
  maxNewTokens: 64,
});
console.log("User: <image>\nPlease describe the image in detail.\nAssistant:", first.text);

// The picture is in the history; it is neither read nor encoded again.
const second = await model.chat("Please write a poem according to the image.", {
  history: first.history,
  maxNewTokens: 64,
});
console.log("User: Please write a poem according to the image.\nAssistant:", second.text);
console.log(`${second.usage.cachedTokens} of ${second.usage.promptTokens} prompt tokens were there already`);
