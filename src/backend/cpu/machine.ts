import type { LimitsProbe } from "./limits.ts";

/** Where the kernels run: a shared library in this process, or WebAssembly. */
export interface Machine {
  /** How the kernels were built: "native" or "wasm". */
  readonly kind: "native" | "wasm";
  /** The processor features in use, for example "avx512". */
  readonly variant: string;
  /** Threads that a program runs on. */
  readonly lanes: number;
  /** What it can do at most, where that can be measured. */
  readonly limits?: LimitsProbe;
  /** What a user should know of it, for example that it has one thread only, and why. */
  readonly note: string | undefined;
  /** Bytes that can still be allocated, as far as that can be known. */
  availableBytes(): number;
  /** Zeroed memory, aligned to 64 bytes. @throws DeviceError when there is not enough. */
  allocate(bytes: number): Block;
  free(block: Block): void;
  /** Bytes of workspace the program at this address needs. */
  workspaceBytes(program: bigint): number;
  /** Runs a program off the event loop. 0, -1 when it was cancelled, or the number of the operation that failed. */
  run(program: bigint): Promise<number>;
  /** Packs rows of a checkpoint tensor into a weight (`internvl_pack`), off the event loop. */
  pack(
    weight: BigInt64Array,
    firstRow: number,
    rows: number,
    bytes: Uint8Array,
    source: number,
  ): Promise<void>;
  /** Ends its threads where they are its own; what still runs fails. Blocks need no freeing first. */
  dispose(): Promise<void>;
}

/** Memory of the machine. */
export interface Block {
  readonly address: bigint;
  readonly bytes: number;
  /** A view of it; valid until it is freed. */
  view(): ArrayBufferLike;
  /** Where the view's first byte lies in `view()`'s buffer. */
  readonly viewOffset: number;
}

/** `weight_format` of program.h. */
export const weightFormats = {
  panelF32: 0,
  panelBf16: 1,
  panelInt8: 2,
  panelInt4: 3,
  rowsF32: 4,
  rowsBf16: 5,
  rowsF16: 6,
} as const;

/** The number formats `internvl_pack` reads. */
export const packSources = { BF16: 0, F16: 1, F32: 2 } as const;

/** `PANEL_ROWS` of pack.h divides it: threads that pack from such rows on never meet in a panel. */
const packRows = 64;

/** Rows `[from, to)` for each of at most `lanes` threads that pack. */
export function packShares(firstRow: number, rows: number, lanes: number): [number, number][] {
  const end = firstRow + rows;
  const borders = Array.from({ length: lanes - 1 }, (_, i) => {
    const even = firstRow + (rows * (i + 1)) / lanes;
    return Math.min(end, Math.ceil(even / packRows) * packRows);
  });
  const all = [firstRow, ...borders, end];
  return all.slice(1).flatMap((to, i): [number, number][] => (to > all[i] ? [[all[i], to]] : []));
}
