import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeviceError } from "../../errors.ts";
import { pageBytes, WasmHeap } from "./wasm-heap.ts";

function heapOf(pages: number, start = 100) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: pages, shared: true });
  return { memory, heap: new WasmHeap(memory, start, pages * pageBytes) };
}

describe("WasmHeap", () => {
  it("hands out zeroed memory at multiples of 64, also where something else was", () => {
    const { memory, heap } = heapOf(4);
    const first = heap.allocate(1000);
    expect(first).toBe(128);
    new Uint8Array(memory.buffer, first, 1000).fill(7);
    heap.free(first, 1000);
    const again = heap.allocate(2000);
    expect(again).toBe(first);
    expect(new Uint8Array(memory.buffer, again, 2000).every((byte) => byte === 0)).toBe(true);
  });

  it("grows by what is missing, and views from before stay of the same memory", () => {
    const { memory, heap } = heapOf(8);
    const early = heap.allocate(8);
    const view = new Uint8Array(memory.buffer, early, 8);
    const late = heap.allocate(3 * pageBytes);
    expect(memory.buffer.byteLength).toBe(4 * pageBytes);
    view[3] = 9;
    expect(new Uint8Array(memory.buffer)[early + 3]).toBe(9);
    expect(late + 3 * pageBytes).toBeLessThanOrEqual(4 * pageBytes);
  });

  it("says how much there is when there is too little, and goes on with what fits", () => {
    const { heap } = heapOf(4, 0);
    expect(heap.availableBytes).toBe(4 * pageBytes);
    heap.allocate(pageBytes);
    expect(() => heap.allocate(3 * pageBytes + 1)).toThrow(DeviceError);
    expect(() => heap.allocate(3 * pageBytes + 1)).toThrow(`${3 * pageBytes} of ${4 * pageBytes} are free`);
    heap.allocate(3 * pageBytes);
    expect(heap.availableBytes).toBe(0);
  });

  it("never hands out a byte twice, and gets everything back", () => {
    const step = fc.record({ bytes: fc.integer({ min: 0, max: 40_000 }), freed: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { memory, heap } = heapOf(64, 0);
        const held: { address: number; bytes: number; mark: number }[] = [];
        for (const [mark, { bytes, freed }] of steps.entries()) {
          if (freed % 3 === 0 && held.length > 0) {
            const [block] = held.splice(freed % held.length, 1);
            const view = new Uint8Array(memory.buffer, block.address, block.bytes);
            expect(view.every((byte) => byte === block.mark)).toBe(true);
            heap.free(block.address, block.bytes);
            continue;
          }
          const address = heap.allocate(bytes);
          const view = new Uint8Array(memory.buffer, address, bytes);
          expect(view.every((byte) => byte === 0)).toBe(true);
          view.fill(mark + 1);
          held.push({ address, bytes, mark: mark + 1 });
        }
        for (const { address, bytes } of held) heap.free(address, bytes);
        expect(heap.availableBytes).toBe(64 * pageBytes);
        // In one piece, that is.
        expect(heap.allocate(64 * pageBytes)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
