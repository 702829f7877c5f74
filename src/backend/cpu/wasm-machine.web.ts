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

/** Each written out, for that is how bundlers find the files that go with a script. */
const addresses: Readonly<Record<string, URL>> = {
  "internvl.wasm": new URL("./wasm/internvl.wasm", import.meta.url),
  "internvl-relaxed.wasm": new URL("./wasm/internvl-relaxed.wasm", import.meta.url),
};

/** WebAssembly in a browser: modules from beside this file, threads from Web Workers where the page may share memory. */
export const webHost: WasmHost = {
  async readModule(file) {
    const address = addresses[file];
    const response = await fetch(address);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const isModule = bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
    if (response.ok && isModule) return bytes;
    const got = response.ok ? "something else" : `status ${response.status}`;
    throw new Error(
      `${address} gives ${got}; a bundler that does not follow new URL(…, import.meta.url) needs internvl's dist/backend/cpu/wasm copied there`,
    );
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
