import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** With these a page may share memory between threads (HTML, cross-origin isolation); without, one thread computes. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const root = fileURLToPath(new URL("..", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  // The package itself, as it is published.
  resolve: {
    alias: [
      { find: /^internvl$/, replacement: `${root}dist/index.js` },
      { find: /^internvl\/demo$/, replacement: `${root}dist/chat/built-in-model.js` },
    ],
  },
  server: { headers: isolation, fs: { allow: [root] } },
  preview: { headers: isolation },
  build: { outDir: `${root}build/web`, emptyOutDir: true, target: "es2023" },
});
