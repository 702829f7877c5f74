import type { Backend, Program } from "../../src/backend/backend.ts";
import { startOnHost } from "../../src/backend/on-host.ts";
import { OneAtATime } from "../../src/turn.ts";

/** Another backend behind a queue: runs may be begun at any time, and are done in order, as a graphics card does them. */
export function queueing(inner: Backend) {
  const queue = new OneAtATime();
  const seen = { waiting: 0, most: 0 };
  const backend: Backend = {
    name: inner.name,
    tilesAtOnce: inner.tilesAtOnce,
    tokensAtOnce: inner.tokensAtOnce,
    queues: true,
    loadWeights: (weights, store, options) => inner.loadWeights(weights, store, options),
    createCache(layout, pages) {
      const cache = inner.createCache(layout, pages);
      return {
        layout,
        pages,
        inner: cache,
        copyPage: (from: number, to: number) => void queue.enter(async () => cache.copyPage(from, to)),
        dispose: () => cache.dispose(),
      };
    },
    async prepare(graph, weights): Promise<Program> {
      const program = await inner.prepare(graph, weights);
      return {
        arenaBytes: program.arenaBytes,
        run: (inputs, options) => queue.enter(() => program.run(inputs, options)),
        start(inputs, { cache, signal } = {}) {
          seen.most = Math.max(seen.most, ++seen.waiting);
          const own = (cache as unknown as { inner?: typeof cache })?.inner;
          return startOnHost(graph, inputs, (arrays) =>
            queue
              .enter(() => program.run(arrays, { cache: own, signal }))
              .finally(() => {
                seen.waiting--;
              }),
          );
        },
        dispose: () => program.dispose(),
      };
    },
    [Symbol.asyncDispose]: async () => inner[Symbol.asyncDispose](),
  };
  return { backend, mostWaiting: () => seen.most };
}
