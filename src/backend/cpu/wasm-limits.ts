import { DeviceError } from "../../errors.ts";
import type { LimitsProbe, ProductKind } from "./limits.ts";
import type { Block, Machine } from "./machine.ts";
import type { Argument, Callable } from "./wasm-threads.ts";

type Call = (lane: number, name: Callable, ...parameters: readonly Argument[]) => Promise<number>;

/** The order of wasm_limits.c. */
const kinds: readonly ProductKind[] = ["f32", "bf16", "int8"];

/** The shared machine is not always quiet: the best of several short passes counts. */
const readPasses = 8;
const productPasses = 5;
const productSeconds = 0.04;
/** Above all caches, and little beside the weights: WebAssembly's memory never shrinks. */
const mostReadBytes = 2 ** 29;
/** Bytes that a thread's part is a multiple of. */
const grain = 4096;

/** What all lanes of a WebAssembly machine do at most, together. */
export class WasmLimits implements LimitsProbe {
  readonly #machine: Machine;
  readonly #call: Call;

  constructor(machine: Machine, call: Call) {
    this.#machine = machine;
    this.#call = call;
  }

  async readRate(bytes: number): Promise<number> {
    const { lanes } = this.#machine;
    const part = Math.floor(Math.min(bytes, mostReadBytes) / lanes / grain) * grain;
    let block: Block;
    try {
      block = this.#machine.allocate(part * lanes);
    } catch (error) {
      if (error instanceof DeviceError) return 0;
      throw error;
    }
    try {
      const each = (name: Callable) =>
        this.#together((lane) => [name, block.viewOffset + part * lane, BigInt(part)]);
      await each("internvl_write");
      return await best(readPasses, () => each("internvl_read_rate"));
    } finally {
      this.#machine.free(block);
    }
  }

  productRate(kind: ProductKind): Promise<number> {
    return best(productPasses, () =>
      this.#together(() => ["internvl_product_rate", kinds.indexOf(kind), productSeconds]),
    );
  }

  /** All lanes at once: the sum of their rates. */
  async #together(callOf: (lane: number) => [name: Callable, ...parameters: Argument[]]): Promise<number> {
    const lanes = Array.from({ length: this.#machine.lanes }, (_, lane) => this.#call(lane, ...callOf(lane)));
    return (await Promise.all(lanes)).reduce((sum, rate) => sum + rate, 0);
  }
}

async function best(passes: number, rate: () => Promise<number>): Promise<number> {
  let most = 0;
  for (let pass = 0; pass < passes; pass++) most = Math.max(most, await rate());
  return most;
}
