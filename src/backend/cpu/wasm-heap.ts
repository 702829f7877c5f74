import { DeviceError } from "../../errors.ts";

/** Bytes of a WebAssembly page. */
export const pageBytes = 65536;
const alignment = 64;

interface Range {
  start: number;
  end: number;
}

/** Blocks in a linear memory that grows when none of its free ranges is large enough. */
export class WasmHeap {
  readonly #memory: WebAssembly.Memory;
  readonly #maximum: number;
  /** By address; no two of them touch. */
  readonly #free: Range[] = [];
  /** From here on nothing was ever handed out: it is still zeros. */
  #fresh: number;
  #end: number;

  /** @param start The first byte that is free. @param maximum Bytes that the memory may grow to. */
  constructor(memory: WebAssembly.Memory, start: number, maximum: number) {
    this.#memory = memory;
    this.#maximum = maximum;
    this.#fresh = roundUp(start);
    this.#end = memory.buffer.byteLength;
    if (this.#fresh < this.#end) this.#free.push({ start: this.#fresh, end: this.#end });
  }

  /** Bytes that can still be handed out, in one piece or several. */
  get availableBytes(): number {
    return this.#free.reduce((sum, { start, end }) => sum + end - start, this.#maximum - this.#end);
  }

  /** The address of zeroed memory, a multiple of 64. @throws DeviceError when there is not enough. */
  allocate(bytes: number): number {
    const size = roundUp(Math.max(bytes, 1));
    let range = this.#smallestOf(size);
    if (!range) {
      this.#grow(size);
      range = this.#smallestOf(size)!;
    }
    const { start } = range;
    range.start += size;
    if (range.start === range.end) this.#free.splice(this.#free.indexOf(range), 1);
    const used = Math.min(start + size, this.#fresh);
    if (start < used) new Uint8Array(this.#memory.buffer, start, used - start).fill(0);
    this.#fresh = Math.max(this.#fresh, start + size);
    return start;
  }

  /** Takes a block back: its address and the bytes that were asked for. */
  free(address: number, bytes: number): void {
    this.#release(address, address + roundUp(Math.max(bytes, 1)));
  }

  #smallestOf(size: number): Range | undefined {
    let best: Range | undefined;
    for (const range of this.#free) {
      const fits = range.end - range.start >= size;
      if (fits && (!best || range.end - range.start < best.end - best.start)) best = range;
    }
    return best;
  }

  #grow(size: number): void {
    const last = this.#free.at(-1);
    const missing = last?.end === this.#end ? size - (last.end - last.start) : size;
    const pages = Math.ceil(missing / pageBytes);
    const problem = () =>
      new DeviceError(
        "cpu",
        `WebAssembly has no memory for ${size} bytes: ${this.availableBytes} of ${this.#maximum} are free`,
      );
    if (this.#end + pages * pageBytes > this.#maximum) throw problem();
    try {
      this.#memory.grow(pages);
    } catch {
      throw problem();
    }
    const end = this.#end + pages * pageBytes;
    this.#release(this.#end, end);
    this.#end = end;
  }

  /** Adds a free range, joined with those it touches. */
  #release(start: number, end: number): void {
    const at = this.#free.findIndex((range) => range.start >= end);
    const place = at < 0 ? this.#free.length : at;
    const before = this.#free[place - 1];
    const after = this.#free[place];
    const range = { start, end };
    let from = place;
    let replaced = 0;
    if (before?.end === start) {
      range.start = before.start;
      from--;
      replaced++;
    }
    if (after?.start === end) {
      range.end = after.end;
      replaced++;
    }
    this.#free.splice(from, replaced, range);
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
