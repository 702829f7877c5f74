import type { WasmHost } from "./wasm-machine.ts";
import { type StartThread, webThreadSource } from "./wasm-threads.ts";

const start: StartThread = (source, onMessage, onError) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    URL.revokeObjectURL(url);
    onMessage(data);
  });
  worker.addEventListener("error", (event) => onError(event.message || "the page lets no worker start"));
  return {
    post: (message) => worker.postMessage(message),
    hold: () => undefined,
    terminate: () => worker.terminate(),
  };
};

/** WebAssembly in a browser: modules from beside this file, threads from Web Workers where the page may share memory. */
export const webHost: WasmHost = {
  async readModule(file) {
    const response = await fetch(new URL(`./wasm/${file}`, import.meta.url));
    if (!response.ok) throw new Error(`${response.url} answers ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  },
  get threads() {
    if (typeof Worker === "undefined") return { absent: "there are no workers here" };
    // Without these headers a page has no shared memory (HTML, cross-origin isolation).
    if (typeof SharedArrayBuffer === "undefined" || globalThis.crossOriginIsolated === false) {
      return {
        absent:
          "the page has no SharedArrayBuffer: serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
      };
    }
    return { start, source: webThreadSource };
  },
  get processors() {
    return globalThis.navigator?.hardwareConcurrency ?? 1;
  },
  // Browsers do not say.
  freeBytes: () => Infinity,
};
