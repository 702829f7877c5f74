// One run of llama.cpp: node llama-run.mjs '{"file", "promptTokens", "newTokens", "flashAttention", "threads"}'.
// Prints one line of JSON. Prefill is the time to the first token on an empty cache; decode the tokens after it.
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const { file, promptTokens, newTokens, flashAttention, threads } = JSON.parse(process.argv[2]);
const log = [];
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  maxThreads: threads,
  logLevel: LlamaLogLevel.debug,
  logger: (_, message) => log.push(message),
});
const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
const contextSize = Math.ceil((promptTokens + newTokens + 16) / 256) * 256;
const context = await model.createContext({ contextSize, threads, sequences: 1, flashAttention });
const sequence = context.getSequence();

async function answer(tokens, count) {
  const prompt = Array.from({ length: tokens }, (_, i) => (i === 0 ? 1 : 300 + ((i * 7919) % 90000)));
  const times = [];
  let before = performance.now();
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    const now = performance.now();
    times.push(now - before);
    before = now;
    if (times.length > count) break;
  }
  await sequence.clearHistory();
  return times;
}

await answer(8, 2);
const [prefill, ...decode] = await answer(promptTokens, newTokens);
const backend = /libggml-cpu-(\w+)/.exec(log.join(""))?.[1] ?? "unknown";
console.log(JSON.stringify({ prefill, decode, notes: `libggml-cpu-${backend}` }));
await llama.dispose();
