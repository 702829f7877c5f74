import type { Readable, Writable } from "node:stream";
import type { Interrupts } from "./interrupts.ts";

export type Input = Readable & { isTTY?: boolean };
export type Output = Writable & { isTTY?: boolean; columns?: number };

/** All that a command is given of the world, so that tests can bring their own. */
export interface World {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly interrupts: Interrupts;
}

/** A whole text from standard input. */
export async function readInput({ stdin, interrupts }: World): Promise<string> {
  const { signal } = interrupts;
  const parts: Uint8Array[] = [];
  const stop = () => stdin.destroy(signal.reason as Error);
  signal.throwIfAborted();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const part of stdin) parts.push(typeof part === "string" ? Buffer.from(part) : part);
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Waits until everything written so far has left, or the output has broken. */
export async function writeOut(output: Output): Promise<void> {
  if (output.destroyed || output.writableLength === 0) return;
  await new Promise<void>((resolve) => {
    output.once("close", resolve);
    output.write("", () => resolve());
  });
}
