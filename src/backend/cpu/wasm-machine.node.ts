import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { availableMemory } from "./available-memory.node.ts";
import type { WasmHost } from "./wasm-machine.ts";
import { nodeThreadSource, type StartThread } from "./wasm-threads.ts";

const start: StartThread = (source, onMessage, onError) => {
  // Flags of the main thread (loaders, inspectors) are not for it.
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { execArgv: [] });
  let ended = false;
  worker.on("message", onMessage);
  worker.on("error", (error) => onError(error.message));
  worker.on("exit", (code) => {
    if (!ended) onError(`exit code ${code}`);
  });
  return {
    post: (message) => worker.postMessage(message),
    hold: (held) => (held ? worker.ref() : worker.unref()),
    terminate: () => {
      ended = true;
      void worker.terminate();
    },
  };
};

/** WebAssembly in Node: modules from the package's folder, threads from `node:worker_threads`. */
export const nodeHost: WasmHost = {
  readModule: async (file) => new Uint8Array(await readFile(new URL(`./wasm/${file}`, import.meta.url))),
  threads: { start, source: nodeThreadSource },
  get processors() {
    return availableParallelism();
  },
  freeBytes: availableMemory,
};
