// One run of onnxruntime: node onnx-run.mjs '{"language", "tower", "model", "layers", "promptTokens", "newTokens", "threads"}'.
// Prints one line of JSON. Decode feeds the keys and values of the prompt each time and takes the longer ones back.
import ort from "onnxruntime-node";

const { language, tower, model, layers, promptTokens, newTokens, threads } = JSON.parse(process.argv[2]);

const open = (path) =>
  ort.InferenceSession.create(path, {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
  });

function made(shape, size = 1) {
  const count = shape.reduce((a, b) => a * b, 1);
  let state = 7;
  const values = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * 1.7 * size;
  });
  return new ort.Tensor("float32", values, shape);
}

async function timed(session, feeds, output) {
  const since = performance.now();
  const outputs = await session.run(feeds);
  const milliseconds = performance.now() - since;
  if (!outputs[output].data.subarray(0, 1000).every(Number.isFinite))
    throw new Error(`${output} is not finite`);
  return { milliseconds, outputs };
}

const result = { decode: [], notes: "onnxruntime, CPU provider" };
{
  const { hiddenSize, keyValueHeads, headSize } = model.language;
  const session = await open(language);
  const feeds = (tokens, past) => {
    const named = {
      x: made([1, tokens, hiddenSize]),
      last: new ort.Tensor("int32", Int32Array.of(past + tokens - 1), [1]),
      total: new ort.Tensor("int32", Int32Array.of(past + tokens), []),
    };
    for (let i = 0; i < layers; i++) {
      named[`pastKeys${i}`] = made([1, keyValueHeads, past, headSize], 0.3);
      named[`pastValues${i}`] = made([1, keyValueHeads, past, headSize], 0.3);
    }
    return named;
  };
  await timed(session, feeds(8, 0), "logits");
  result.prefill = (await timed(session, feeds(promptTokens, 0), "logits")).milliseconds;
  const next = feeds(1, promptTokens);
  for (let i = -1; i < newTokens; i++) {
    const { milliseconds } = await timed(session, next, "logits");
    if (i >= 0) result.decode.push(milliseconds);
  }
  await session.release();
}
if (tower) {
  const session = await open(tower);
  const { hiddenSize, imageSize, patchSize } = model.vision;
  const tile = { x: made([1, 1 + (imageSize / patchSize) ** 2, hiddenSize]) };
  await timed(session, tile, "states");
  result.tile = (await timed(session, tile, "states")).milliseconds;
  await session.release();
}
console.log(JSON.stringify(result));
