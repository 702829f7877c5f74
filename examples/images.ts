// Two pictures: both at one place, or each at a place of its own.
//   npm run example -- images [checkpoint] [picture] [picture]
import { InternVL } from "internvl";

const [
  checkpoint = "test/golden/models/tiny-2b",
  one = "examples/photos/cat.jpg",
  other = "examples/photos/coffee.jpg",
] = process.argv.slice(2);
await using model = await InternVL.load(checkpoint);
const options = { maxTiles: 6, maxNewTokens: 32 };

// Combined: one mark, and a list of pictures that stand there together.
const combined = await model.chat("<image>\nDescribe the two images in detail.", {
  images: [[one, other]],
  ...options,
});
console.log("Combined:", combined.text);

// Separate: a mark for each.
const separate = await model.chat("Image-1: <image>\nImage-2: <image>\nDescribe the two images in detail.", {
  images: [one, other],
  ...options,
});
console.log("Separate:", separate.text);

const second = await model.chat("What are the similarities and differences between these two images?", {
  history: separate.history,
  ...options,
});
console.log("Second question:", second.text);
