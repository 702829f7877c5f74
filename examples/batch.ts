// Several questions at once, each answered as it would be alone.
//   npm run example -- batch [checkpoint]
import { InternVL } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b"] = process.argv.slice(2);
await using model = await InternVL.load(checkpoint);

const replies = await model.batchChat(
  [
    { question: "Describe the image in detail.", images: ["examples/photos/cat.jpg"] },
    { question: "Describe the image in detail.", images: ["examples/photos/coffee.jpg"] },
    { question: "Hello, who are you?" }, // items may differ in anything: pictures, history, options
  ],
  { maxTiles: 6, maxNewTokens: 32 },
);
for (const { text, usage } of replies) console.log(`${usage.promptTokens} prompt tokens:`, text);
