/** The modules that scripts/build-wasm.mjs makes, by the instructions they use. */
export const wasmFiles: Readonly<Record<string, string>> = {
  simd128: "internvl.wasm",
  relaxed: "internvl-relaxed.wasm",
};

/** What a module gives its host: wasm.c. */
export interface WasmExports {
  readonly __heap_base: WebAssembly.Global;
  readonly __stack_pointer: WebAssembly.Global;
  internvl_walk(program: number, index: number, lanes: number): number;
  internvl_begin(program: number): void;
  internvl_step(program: number, index: number): number;
  internvl_workspace_bytes(program: number, lanes: number): number;
  internvl_pack(weight: number, first: bigint, count: bigint, rows: number, source: bigint): void;
  internvl_write(words: number, bytes: bigint): number;
  internvl_read_rate(from: number, bytes: bigint): number;
  internvl_product_rate(kind: number, seconds: number): number;
}

// A module of one function without arguments: `i32.const 0, i8x16.splat`, three times or once, one instruction over
// them, `drop`.
const splat = [0x41, 0, 0xfd, 0x0f];
const probes: Readonly<Record<string, readonly number[]>> = {
  // f32x4.add
  simd128: [...splat, ...splat, 0xfd, 0xe4, 0x01],
  // f32x4.relaxed_madd
  relaxed: [...splat, ...splat, ...splat, 0xfd, 0x85, 0x02],
};

/** The variants that this runtime understands, slowest first. */
export function usableWasmVariants(): string[] {
  if (typeof WebAssembly === "undefined") return [];
  return Object.keys(wasmFiles).filter((variant) => {
    const body = [0, ...probes[variant], 0x1a, 0x0b];
    const sections = [
      ...[1, 4, 1, 0x60, 0, 0],
      ...[3, 2, 1, 0],
      ...[10, body.length + 2, 1, body.length, ...body],
    ];
    return WebAssembly.validate(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections));
  });
}

/**
 * The same module over a memory that is not shared: the import section says of a memory whether it is (WebAssembly core
 * specification 2.0 with threads, 5.3.5 limits: bit 1).
 */
export function unshared(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = module.slice();
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const skip = (count: number) => {
    at += count;
  };
  while (at < bytes.length) {
    const section = bytes[at++];
    const end = number() + at;
    for (let left = section === 2 ? number() : 0; left > 0; left--) {
      skip(number());
      skip(number());
      const kind = bytes[at++];
      if (kind === 2) bytes[at] &= ~2;
      // A function has a type; a memory has flags, a minimum and a maximum.
      number();
      if (kind === 2) {
        number();
        number();
      }
    }
    at = end;
  }
  return bytes;
}

/** What a module takes from its host, besides memory. */
export const hostFunctions = { nanoseconds: () => performance.now() * 1e6 };
