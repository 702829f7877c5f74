// The shape of LMDeploy's pipeline.
//   npm run example -- pipeline [checkpoint]
import { InternVL, imageToken, loadImage, pipeline } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b"] = process.argv.slice(2);
await using model = await InternVL.load(checkpoint);
const pipe = pipeline(model, { maxTiles: 6, maxNewTokens: 32 });

const cat = await loadImage("examples/photos/cat.jpg"); // a path or an address would do, too
const coffee = await loadImage("examples/photos/coffee.jpg");

// A picture.
const one = await pipe(["describe this image", cat]);
console.log(one.text);

// Several.
const both = await pipe([
  `Image-1: ${imageToken}\nImage-2: ${imageToken}\ndescribe these two images`,
  [cat, coffee],
]);
console.log(both.text);

// A batch.
const batch = await pipe([
  ["describe this image", cat],
  ["describe this image", coffee],
]);
console.log(batch.map(({ text }) => text));

// A conversation.
let session = await pipe.chat(["describe this image", cat], { doSample: true, topK: 40, topP: 0.8, seed: 1 });
console.log(session.response.text);
session = await pipe.chat("What is the animal doing?", { session });
console.log(session.response.text);
