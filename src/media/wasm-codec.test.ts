import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { MediaError } from "../errors.ts";
import { decodeWithWasm } from "./wasm-codec.ts";

const read = (name: string) => new Uint8Array(readFileSync(`test/golden/images/${name}`));
const noise = { width: 520, height: 380 };

const { Instance } = WebAssembly;
afterEach(() => {
  WebAssembly.Instance = Instance;
});

it("keeps one instance for good pictures, and lets it go after a bad one", async () => {
  let instances = 0;
  WebAssembly.Instance = class extends Instance {
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      super(module, imports);
      instances++;
    }
  };
  for (let i = 0; i < 3; i++) await decodeWithWasm("jpeg", read("noise.jpg"), noise, "noise");
  expect(instances).toBe(1);
  // The decoder gives up on CMYK while it holds a copy of the file.
  for (let i = 0; i < 3; i++) {
    const cmyk = decodeWithWasm("jpeg", read("cmyk.jpg"), { width: 350, height: 420 }, "cmyk");
    await expect(cmyk).rejects.toThrow(MediaError);
  }
  expect(instances).toBe(3);
  const image = await decodeWithWasm("jpeg", read("noise.jpg"), noise, "noise");
  expect(image.data.length).toBe(520 * 380 * 3);
  expect(instances).toBe(4);
});

it("refuses a picture of another size than its header said", async () => {
  const other = decodeWithWasm("jpeg", read("noise.jpg"), { width: 520, height: 381 }, "noise");
  await expect(other).rejects.toThrow(MediaError);
});
