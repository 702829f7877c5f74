import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../../errors.ts";
import { availableMemory } from "./available-memory.node.ts";
import { openLimits } from "./limits.node.ts";
import type { LimitsProbe } from "./limits.ts";
import { type Block, type Machine, packShares } from "./machine.ts";

/** The library that `scripts/build-native.mjs` makes, beside the package's sources. */
export function libraryPath(): string {
  const name = `internvl-${process.platform}-${process.arch}.node-library`;
  return fileURLToPath(new URL(`../../../build/${name}`, import.meta.url));
}

/** The functions of library.c. */
interface Library {
  variants(): number;
  variantName(variant: number): string;
  usable(variant: number): number;
  run: AsyncFunction<[bigint, number, number], number>;
  workspaceBytes(program: bigint, variant: number, lanes: number): number | bigint;
  allocate(bytes: number): bigint | null;
  free(address: bigint, bytes: number): void;
  pack: AsyncFunction<[number, BigInt64Array, number, number, Uint8Array, number], void>;
  limits(variant: string, lanes: number): LimitsProbe;
}

interface AsyncFunction<Arguments extends unknown[], Result> {
  (...args: Arguments): Result;
  async(...args: [...Arguments, (error: Error | null, result: Result) => void]): void;
}

/** The native kernels, or the reason why they are not there. */
export async function openNativeMachine(
  options: { variant?: string; lanes?: number } = {},
): Promise<Machine | { absent: string }> {
  const path = libraryPath();
  if (!existsSync(path)) {
    return { absent: "the kernels were not built: install a C compiler and run `npm run build:native`" };
  }
  const koffi = await import("koffi").then(
    (module) => module.default,
    () => undefined,
  );
  if (!koffi) return { absent: "the package koffi is not installed: `npm i koffi`" };
  let library: Library;
  try {
    const loaded = koffi.load(path);
    library = {
      variants: loaded.func("int internvl_variants()"),
      variantName: loaded.func("const char *internvl_variant_name(int)"),
      usable: loaded.func("int internvl_variant_usable(int)"),
      run: loaded.func("int internvl_run(void *, int, int)") as unknown as Library["run"],
      workspaceBytes: loaded.func("int64_t internvl_workspace_bytes(void *, int, int)"),
      allocate: loaded.func("void *internvl_allocate(int64_t)"),
      free: loaded.func("void internvl_free(void *, int64_t)"),
      pack: loaded.func(
        "void internvl_pack(int, void *, int64_t, int64_t, void *, int64_t)",
      ) as unknown as Library["pack"],
      limits: (variant, lanes) => openLimits(loaded, variant, lanes),
    };
  } catch (cause) {
    return { absent: `${path} can not be loaded: ${(cause as Error).message}` };
  }
  const names = Array.from({ length: library.variants() }, (_, i) => library.variantName(i));
  const usable = names.filter((_, i) => library.usable(i) !== 0);
  const variant = options.variant ?? usable[usable.length - 1];
  if (!usable.includes(variant)) {
    throw new DeviceError("cpu", `this processor does not run ${variant}; it runs ${usable.join(", ")}`);
  }
  const view = (address: bigint, bytes: number) => koffi.view(address, bytes) as ArrayBuffer;
  return new NativeMachine(
    library,
    view,
    variant,
    names.indexOf(variant),
    options.lanes ?? availableParallelism(),
  );
}

class NativeMachine implements Machine {
  readonly kind = "native";
  readonly note = undefined;
  readonly variant: string;
  readonly lanes: number;
  readonly limits: LimitsProbe;
  readonly #library: Library;
  readonly #view: (address: bigint, bytes: number) => ArrayBuffer;
  readonly #index: number;

  constructor(
    library: Library,
    view: (address: bigint, bytes: number) => ArrayBuffer,
    variant: string,
    index: number,
    lanes: number,
  ) {
    this.#library = library;
    this.#view = view;
    this.variant = variant;
    this.#index = index;
    this.lanes = lanes;
    this.limits = library.limits(variant, lanes);
  }

  availableBytes(): number {
    return availableMemory();
  }

  allocate(bytes: number): Block {
    const address = this.#library.allocate(bytes);
    if (!address) throw new DeviceError("cpu", `there is no memory for ${bytes} bytes`);
    let view: ArrayBuffer | undefined;
    return {
      address,
      bytes,
      viewOffset: 0,
      view: () => {
        view ??= this.#view(address, bytes);
        return view;
      },
    };
  }

  free(block: Block): void {
    this.#library.free(block.address, block.bytes);
  }

  workspaceBytes(program: bigint): number {
    return Number(this.#library.workspaceBytes(program, this.#index, this.lanes));
  }

  run(program: bigint): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#library.run.async(program, this.#index, this.lanes, (error, result) =>
        error ? reject(error) : resolve(result),
      );
    });
  }

  async pack(
    weight: BigInt64Array,
    firstRow: number,
    rows: number,
    bytes: Uint8Array,
    source: number,
  ): Promise<void> {
    const rowBytes = bytes.length / rows;
    const shares = packShares(firstRow, rows, this.lanes).map(([from, to]) => {
      const share = bytes.subarray((from - firstRow) * rowBytes, (to - firstRow) * rowBytes);
      return new Promise<void>((resolve, reject) => {
        this.#library.pack.async(this.#index, weight, from, to - from, share, source, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    });
    await Promise.all(shares);
  }

  /** The library's threads serve every machine of the process, and wait at no cost. */
  dispose(): Promise<void> {
    return Promise.resolve();
  }
}
