import { DeviceError } from "../../errors.ts";
import type { WasmExports } from "./wasm-module.ts";

/** A thread as the platform has it. */
export interface Thread {
  post(message: unknown): void;
  /** Whether the process stays alive for it. */
  hold(held: boolean): void;
  terminate(): void;
}

/** Starts a thread from the source of a module. `onError` hears of a thread that ended by itself. */
export type StartThread = (
  source: string,
  onMessage: (message: unknown) => void,
  onError: (problem: string) => void,
) => Thread;

/** Functions of the module that the threads call; the arguments are numbers, or bigints where C has `word`. */
export type Callable = Extract<keyof WasmExports, `internvl_${string}`>;
export type Argument = number | bigint;

interface Answer {
  readonly id: number;
  readonly result?: number;
  readonly problem?: string;
}

/**
 * What a thread runs: it receives the compiled module and the memory once, then calls. It is text, so that no bundler has to
 * find it and no address of it is needed. `receive` and `send` come from the platform.
 */
const body = `
let kernels;
receive(async ({ id, start, call, parameters }) => {
  try {
    if (start) {
      const host = { nanoseconds: () => performance.now() * 1e6 };
      const imports = { env: { memory: start.memory }, host };
      kernels = (await WebAssembly.instantiate(start.module, imports)).exports;
      kernels.__stack_pointer.value = start.stack;
      send({ id, result: 0 });
    } else send({ id, result: Number(kernels[call](...parameters) ?? 0) });
  } catch (error) {
    send({ id, problem: String(error?.message ?? error) });
  }
});`;

export const nodeThreadSource = `import { parentPort } from "node:worker_threads";
const receive = (listener) => parentPort.on("message", listener);
const send = (message) => parentPort.postMessage(message);${body}`;

export const webThreadSource = `
const receive = (listener) => addEventListener("message", ({ data }) => listener(data));
const send = (message) => postMessage(message);${body}`;

/**
 * Threads with an instance of the module each. When one of them fails, none can be trusted to reach a barrier again: all
 * are ended, and every call, then and later, fails with the same error.
 */
export class WasmThreads {
  readonly #threads: Thread[] = [];
  readonly #waiting = new Map<
    number,
    { resolve: (result: number) => void; reject: (error: Error) => void }
  >();
  #lastId = 0;
  #broken: DeviceError | undefined;

  /** @param stacks The address where each thread's stack ends; they grow downwards. */
  static async start(
    startThread: StartThread,
    source: string,
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    stacks: readonly number[],
  ): Promise<WasmThreads> {
    const threads = new WasmThreads();
    try {
      for (const _ of stacks) {
        const onError = (problem: string) => threads.end(`a thread of the kernels ended: ${problem}`);
        threads.#threads.push(startThread(source, (message) => threads.#receive(message as Answer), onError));
      }
      await Promise.all(
        stacks.map((stack, index) => threads.#post(index, { start: { module, memory, stack } })),
      );
    } catch (error) {
      threads.end(String(error));
      throw error;
    }
    return threads;
  }

  get count(): number {
    return this.#threads.length;
  }

  /** @throws DeviceError when a thread has failed, or the threads were ended. */
  check(): void {
    if (this.#broken) throw this.#broken;
  }

  /** Calls a function of the module on a thread, after whatever that thread was asked before. */
  call(index: number, call: Callable, ...parameters: readonly Argument[]): Promise<number> {
    return this.#post(index, { call, parameters });
  }

  /** Ends all threads, whatever they do. Calls fail for this reason from now on. */
  end(reason: string): void {
    if (this.#broken) return;
    this.#broken = new DeviceError("cpu", reason);
    for (const thread of this.#threads) thread.terminate();
    for (const { reject } of this.#waiting.values()) reject(this.#broken);
    this.#waiting.clear();
  }

  #post(index: number, message: object): Promise<number> {
    return new Promise((resolve, reject) => {
      this.check();
      const id = ++this.#lastId;
      if (this.#waiting.size === 0) for (const thread of this.#threads) thread.hold(true);
      this.#waiting.set(id, { resolve, reject });
      this.#threads[index].post({ ...message, id });
    });
  }

  #receive({ id, result, problem }: Answer): void {
    if (problem !== undefined) {
      this.end(failedText(problem));
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) for (const thread of this.#threads) thread.hold(false);
    waiting?.resolve(result!);
  }
}

export function failedText(problem: string): string {
  return `the kernels failed (${problem}) and can not go on: load the model again`;
}
