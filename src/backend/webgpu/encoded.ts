import type { WebGpuDevice } from "./device.ts";
import { statusStride } from "./layout.ts";
import type { Dispatch, Place, SizeWord } from "./lower/dispatch.ts";
import { alignUp, bindingAlignment, type DeviceMemory, usage } from "./memory.ts";
import type { Pipeline, Pipelines } from "./pipelines.ts";

/** What bindings of dispatches point at, besides weights. */
export interface Surroundings {
  readonly arena: GPUBuffer;
  /** Keys and values of each layer. */
  readonly cache: { readonly keys: readonly GPUBuffer[]; readonly values: readonly GPUBuffer[] } | undefined;
}

interface Ready {
  readonly dispatch: Dispatch;
  readonly pipeline: Pipeline;
  /** Offset of its sizes in the buffer of all. */
  readonly sizes: number;
}

/** Dispatches compiled, with the sizes of all of them in one buffer. */
export class CompiledDispatches {
  readonly #device: WebGpuDevice;
  readonly #memory: DeviceMemory;
  readonly #sizes: GPUBuffer;
  readonly #ready: readonly Ready[];

  private constructor(device: WebGpuDevice, memory: DeviceMemory, sizes: GPUBuffer, ready: readonly Ready[]) {
    this.#device = device;
    this.#memory = memory;
    this.#sizes = sizes;
    this.#ready = ready;
  }

  static async compile(
    device: WebGpuDevice,
    memory: DeviceMemory,
    pipelines: Pipelines,
    dispatches: readonly Dispatch[],
  ): Promise<CompiledDispatches> {
    const compiled = await Promise.all(dispatches.map(({ kernel }) => pipelines.get(kernel)));
    const offsets = new Map<string, number>();
    const all: { offset: number; words: Uint32Array }[] = [];
    let end = 0;
    const ready = dispatches.map((dispatch, i): Ready => {
      const words = wordsOf(dispatch.sizes);
      const key = words.join();
      let offset = offsets.get(key);
      if (offset === undefined) {
        offset = end;
        offsets.set(key, offset);
        all.push({ offset, words });
        end = alignUp(end + words.byteLength);
      }
      return { dispatch, pipeline: compiled[i], sizes: offset };
    });
    const buffer = memory.allocate(
      "sizes",
      Math.max(end, bindingAlignment),
      usage.uniform | usage.copyTarget,
    );
    const bytes = new Uint32Array(buffer.size / 4);
    for (const { offset, words } of all) bytes.set(words, offset / 4);
    device.gpu.queue.writeBuffer(buffer, 0, bytes);
    return new CompiledDispatches(device, memory, buffer, ready);
  }

  /** Bind groups of all dispatches: as long as the surroundings are the same. */
  bind(around: Surroundings): GPUBindGroup[] {
    const { gpu } = this.#device;
    return this.#ready.map(({ dispatch, pipeline, sizes }) => {
      const entries = dispatch.places.map((place, binding) => ({
        binding,
        resource: resourceOf(place, around),
      }));
      const size = alignUp(dispatch.sizes.length * 4, 16);
      entries.push({ binding: entries.length, resource: { buffer: this.#sizes, offset: sizes, size } });
      return gpu.createBindGroup({ layout: pipeline.layout, entries });
    });
  }

  /** Encodes dispatches `from … to - 1` into a pass. */
  encode(pass: GPUComputePassEncoder, groups: readonly GPUBindGroup[], from = 0, to = groups.length): void {
    let current: GPUComputePipeline | undefined;
    for (let i = from; i < to; i++) {
      const { pipeline, dispatch } = this.#ready[i];
      if (pipeline.pipeline !== current) pass.setPipeline(pipeline.pipeline);
      current = pipeline.pipeline;
      pass.setBindGroup(0, groups[i]);
      // A step has some two hundred of these, and each number that is handed over takes its time.
      const [x, y, z] = dispatch.workgroups;
      if (y === 1 && z === 1) pass.dispatchWorkgroups(x);
      else pass.dispatchWorkgroups(x, y, z);
    }
  }

  dispose(): void {
    this.#memory.free(this.#sizes);
  }
}

function resourceOf(place: Place, { arena, cache }: Surroundings): GPUBufferBinding {
  switch (place.in) {
    case "arena":
      return { buffer: arena, offset: place.offset, size: alignUp(place.bytes) };
    case "buffer":
      return { buffer: place.buffer };
    case "status":
      return { buffer: arena, offset: place.word * statusStride, size: 4 };
    case "cache":
      return { buffer: cache![place.part][place.layer] };
  }
}

function wordsOf(sizes: readonly SizeWord[]): Uint32Array {
  // A uniform struct's size is a multiple of 16 bytes where it holds vectors; ours need not be, but may.
  const words = new Uint32Array(alignUp(sizes.length * 4, 16) / 4);
  const floats = new Float32Array(words.buffer);
  sizes.forEach((size, i) => {
    if (typeof size === "number") words[i] = size;
    else floats[i] = size.f32;
  });
  return words;
}
