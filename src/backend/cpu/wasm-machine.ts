import { DeviceError } from "../../errors.ts";
import { type Block, type Machine, packShares, packSources } from "./machine.ts";
import { pageBytes, WasmHeap } from "./wasm-heap.ts";
import { WasmLimits } from "./wasm-limits.ts";
import { hostFunctions, unshared, usableWasmVariants, type WasmExports, wasmFiles } from "./wasm-module.ts";
import { type Argument, type Callable, failedText, type StartThread, WasmThreads } from "./wasm-threads.ts";

/** What the machine needs of the platform it runs on. */
export interface WasmHost {
  /** The bytes of a module that stands in the folder wasm/ beside this file. */
  readModule(file: string): Promise<Uint8Array<ArrayBuffer>>;
  /** How to start a thread that can share memory, or why none can. */
  readonly threads: { start: StartThread; source: string } | { absent: string };
  readonly processors: number;
  /** Bytes that the system has left, where that can be known. */
  freeBytes(): number;
}

export interface WasmOptions {
  /** "simd128" or "relaxed"; the fastest that the runtime understands unless said. */
  variant?: string;
  /** Threads; as many as there are processors unless said. */
  lanes?: number;
}

/** Bytes of a thread's stack. */
const stackBytes = 2 ** 20;
/** Sizes of memory to try, in pages. The last page of 4 GiB stays out: an address behind a block must be one, too. */
const maximumPages = [65535, 32768, 16384, 8192, 4096];
/** Milliseconds after which the host's thread attends to other things, when the kernels run on it. */
const turnMilliseconds = 16;
/** Words of `program` in program.h. */
const programCountWord = 0;

/** The kernels as WebAssembly, or the reason why they can not run here. */
export async function openWasmMachine(
  host: WasmHost,
  { variant, lanes = host.processors }: WasmOptions = {},
): Promise<Machine | { absent: string }> {
  const usable = usableWasmVariants();
  if (usable.length === 0) return { absent: "this runtime has no WebAssembly with SIMD" };
  const chosen = variant ?? usable[usable.length - 1];
  if (!usable.includes(chosen)) {
    throw new DeviceError("cpu", `this runtime does not run ${chosen}; it runs ${usable.join(", ")}`);
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await host.readModule(wasmFiles[chosen]);
  } catch (cause) {
    return { absent: `${wasmFiles[chosen]} can not be read: ${(cause as Error).message}` };
  }
  let note: string | undefined;
  if ("absent" in host.threads) note = host.threads.absent;
  else {
    try {
      const { start, source } = host.threads;
      const parts = await instantiate(bytes, true);
      const stacks = Array.from({ length: lanes }, () => parts.heap.allocate(stackBytes) + stackBytes);
      const threads = await WasmThreads.start(start, source, parts.module, parts.memory, stacks);
      return new WasmMachine(chosen, lanes, parts, host, threads, undefined);
    } catch (error) {
      note = (error as Error).message;
    }
  }
  try {
    const parts = await instantiate(unshared(bytes), false);
    const text = `one thread, that of the caller: ${note}`;
    return new WasmMachine(chosen, 1, parts, host, undefined, text);
  } catch (cause) {
    return { absent: `WebAssembly does not start: ${(cause as Error).message}` };
  }
}

interface Parts {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly exports: WasmExports;
  readonly heap: WasmHeap;
}

async function instantiate(bytes: Uint8Array<ArrayBuffer>, shared: boolean): Promise<Parts> {
  const module = await WebAssembly.compile(bytes);
  const memory = newMemory(shared);
  const instance = await WebAssembly.instantiate(module, { env: { memory }, host: hostFunctions });
  const exports = instance.exports as unknown as WasmExports;
  const { maximum } = memorySizes.get(memory)!;
  const heap = new WasmHeap(memory, exports.__heap_base.value as number, maximum * pageBytes);
  return { module, memory, exports, heap };
}

const memorySizes = new WeakMap<WebAssembly.Memory, { maximum: number }>();

/** The largest memory there is. One that is not shared is whole from the start: growing it would end every view of it. */
function newMemory(shared: boolean): WebAssembly.Memory {
  let problem: unknown;
  for (const maximum of maximumPages) {
    try {
      const memory = new WebAssembly.Memory({ initial: shared ? 32 : maximum, maximum, shared });
      memorySizes.set(memory, { maximum });
      return memory;
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

class WasmMachine implements Machine {
  readonly kind = "wasm";
  readonly variant: string;
  readonly lanes: number;
  readonly note: string | undefined;
  readonly limits: WasmLimits;
  readonly #parts: Parts;
  readonly #host: WasmHost;
  readonly #threads: WasmThreads | undefined;
  /** The end of the last run that was asked for: one at a time. */
  #lastRun: Promise<unknown> = Promise.resolve();
  /** Why nothing can run any more, where there are no threads to say so. */
  #broken: DeviceError | undefined;

  constructor(
    variant: string,
    lanes: number,
    parts: Parts,
    host: WasmHost,
    threads: WasmThreads | undefined,
    note: string | undefined,
  ) {
    this.variant = variant;
    this.lanes = lanes;
    this.note = note;
    this.#parts = parts;
    this.#host = host;
    this.#threads = threads;
    this.limits = new WasmLimits(this, (lane, name, ...parameters) => this.#call(lane, name, ...parameters));
  }

  availableBytes(): number {
    return Math.min(this.#parts.heap.availableBytes, this.#host.freeBytes());
  }

  allocate(bytes: number): Block {
    this.#check();
    const { heap, memory } = this.#parts;
    const address = heap.allocate(bytes);
    return { address: BigInt(address), bytes, viewOffset: address, view: () => memory.buffer };
  }

  free(block: Block): void {
    this.#parts.heap.free(Number(block.address), block.bytes);
  }

  workspaceBytes(program: bigint): number {
    return this.#parts.exports.internvl_workspace_bytes(Number(program), this.lanes) >>> 0;
  }

  run(program: bigint): Promise<number> {
    const run = this.#lastRun.then(() => this.#run(Number(program)));
    this.#lastRun = run.catch(() => undefined);
    return run;
  }

  async pack(
    weight: BigInt64Array,
    firstRow: number,
    rows: number,
    bytes: Uint8Array,
    source: number,
  ): Promise<void> {
    const words = this.allocate(weight.byteLength);
    const staged = this.allocate(bytes.length);
    try {
      new BigInt64Array(words.view(), words.viewOffset, weight.length).set(weight);
      new Uint8Array(staged.view(), staged.viewOffset, bytes.length).set(bytes);
      const rowBytes = Number(weight[3]) * (source === packSources.F32 ? 4 : 2);
      const shares = packShares(firstRow, rows, this.lanes).map(async ([from, to], lane) => {
        const at = staged.viewOffset + (from - firstRow) * rowBytes;
        const call = [words.viewOffset, BigInt(from), BigInt(to - from), at, BigInt(source)] as const;
        await this.#call(lane, "internvl_pack", ...call);
      });
      await Promise.all(shares);
    } finally {
      this.free(words);
      this.free(staged);
    }
  }

  dispose(): Promise<void> {
    const reason = "the model was disposed";
    this.#threads?.end(reason);
    this.#broken ??= new DeviceError("cpu", reason);
    return Promise.resolve();
  }

  #check(): void {
    this.#threads?.check();
    if (this.#broken) throw this.#broken;
  }

  /** A function of the module on a lane. */
  async #call(lane: number, name: Callable, ...parameters: readonly Argument[]): Promise<number> {
    if (this.#threads) return this.#threads.call(lane, name, ...parameters);
    return this.#here((exports) => {
      const callable = exports[name] as unknown as (...parameters: readonly Argument[]) => number | undefined;
      return callable(...parameters) ?? 0;
    });
  }

  async #run(program: number): Promise<number> {
    const threads = this.#threads;
    if (!threads) return this.#walk(program);
    const lanes = Array.from({ length: this.lanes }, (_, lane) =>
      threads.call(lane, "internvl_walk", program, lane, this.lanes),
    );
    return (await Promise.all(lanes))[0];
  }

  /** On the host's own thread, operation by operation. */
  async #walk(program: number): Promise<number> {
    this.#check();
    const count = Number(new BigInt64Array(this.#parts.memory.buffer, program, 1)[programCountWord]);
    this.#here((exports) => exports.internvl_begin(program));
    let outcome = 0;
    let turned = performance.now();
    for (let i = 0; i < count && outcome !== -1; i++) {
      outcome = this.#here((exports) => exports.internvl_step(program, i));
      if (performance.now() - turned > turnMilliseconds) {
        await new Promise((resolve) => setTimeout(resolve));
        turned = performance.now();
      }
    }
    return outcome;
  }

  #here<Result>(call: (exports: WasmExports) => Result): Result {
    this.#check();
    try {
      return call(this.#parts.exports);
    } catch (cause) {
      this.#broken = new DeviceError("cpu", failedText((cause as Error).message), { cause });
      throw this.#broken;
    }
  }
}
