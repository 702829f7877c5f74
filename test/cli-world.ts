/** A world for commands that run inside a test. */
import { PassThrough } from "node:stream";
import { Interrupts } from "../src/cli/interrupts.ts";
import { run } from "../src/cli/run.ts";
import type { World } from "../src/cli/world.ts";

interface Options {
  stdin?: string;
  /** What of the streams is a terminal. */
  terminal?: ("stdin" | "stdout" | "stderr")[];
  env?: Record<string, string>;
}

/** Standard streams in memory. */
export class TestWorld implements World {
  readonly stdin: PassThrough & { isTTY?: boolean; setRawMode?: (raw: boolean) => void } = new PassThrough();
  readonly stdout: PassThrough & { isTTY?: boolean } = new PassThrough();
  readonly stderr: PassThrough & { isTTY?: boolean } = new PassThrough();
  readonly env: Record<string, string>;
  /** Whether a last Ctrl-C asked to leave at once. */
  left = false;
  readonly interrupts = new Interrupts(() => {
    this.left = true;
  });
  output = "";
  errors = "";
  #ended = false;
  #changed: (() => void)[] = [];

  constructor({ stdin, terminal = [], env = {} }: Options = {}) {
    this.env = env;
    if (stdin !== undefined) this.stdin.end(stdin);
    for (const name of terminal) this[name].isTTY = true;
    this.stdin.setRawMode = () => undefined;
    this.stdout.on("data", (part) => this.#note("output", String(part)));
    this.stderr.on("data", (part) => this.#note("errors", String(part)));
  }

  async run(...args: string[]): Promise<number> {
    const exitCode = await run(args, this);
    this.#ended = true;
    this.#note("output", "");
    return exitCode;
  }

  /** Waits until the output holds a text, and forgets the output up to there. */
  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.#ended) throw new Error(`the command ended without "${text}": ${this.output} ${this.errors}`);
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
      });
    }
    this.output = this.output.slice(this.output.indexOf(text) + text.length);
  }

  #note(stream: "output" | "errors", text: string): void {
    this[stream] += text;
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}

/** Runs a command to its end. */
export async function runCommand(
  args: string[],
  options?: Options,
): Promise<{ exitCode: number; output: string; errors: string }> {
  const world = new TestWorld(options);
  const exitCode = await world.run(...args);
  // What was written last arrives a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  return { exitCode, output: world.output, errors: world.errors };
}

export const goldenModel = (name: string) => `test/golden/models/${name}`;
export const goldenImage = (name: string) => `test/golden/images/${name}`;
