/** The decoders' .wasm files, read from their packages and compiled once. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const files = {
  jpeg: "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm",
  webp: "@jsquash/webp/codec/dec/webp_dec.wasm",
};

const compiled = new Map<keyof typeof files, Promise<WebAssembly.Module>>();

export function compileCodec(name: keyof typeof files): Promise<WebAssembly.Module> {
  let module = compiled.get(name);
  if (!module) {
    const file = createRequire(import.meta.url).resolve(files[name]);
    module = readFile(file).then((bytes) => WebAssembly.compile(bytes));
    compiled.set(name, module);
  }
  return module;
}
