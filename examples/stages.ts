// What `chat` does, step by step: for those who build on the parts.
//   npm run example -- stages [checkpoint] [picture]
import { readFile } from "node:fs/promises";
import { buildPrompt, decodeImage, InternVL, tileImage } from "internvl";

const [checkpoint = "test/golden/models/tiny-2b", picture = "examples/photos/cat.jpg"] =
  process.argv.slice(2);
await using model = await InternVL.load(checkpoint);
const { tiling, language } = model.description;

// The file's bytes to RGB, and to the tiles of the nearest grid, with the whole picture as the last.
const image = await decodeImage(await readFile(picture));
const { grid, tiles } = tileImage(image, { maxTiles: 6, tileSize: tiling.tileSize });
console.log(`${image.width}x${image.height}: a grid of ${grid.join("x")}, ${tiles.length} tiles`);

// Tiles to features: [tiles * tokensPerTile, hiddenSize].
const features = await model.encodeImages(tiles);
console.log(`${features.length / language.hiddenSize} rows of ${language.hiddenSize}`);

// The question to token ids, with a place for each row.
const prompt = buildPrompt({
  template: model.template.name,
  question: "<image>\nWhat is this?",
  tiles: [tiles.length],
  tokensPerTile: tiling.tokensPerTile,
});
const ids = model.tokenizer.encode(prompt);

// What comes next, as numbers and as tokens.
const logits = await model.logits(ids, features);
const likeliest = logits.indexOf(Math.max(...logits));
console.log(
  `${ids.length} prompt tokens; the likeliest next is ${JSON.stringify(model.tokenizer.tokenOf(likeliest))}`,
);
const { sequences } = await model.generate(ids, {
  features,
  numBeams: 3,
  numReturnSequences: 3,
  maxNewTokens: 16,
});
for (const { ids, score } of sequences) console.log(score.toFixed(3), model.tokenizer.decode(ids));
