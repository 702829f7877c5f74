import { createInterface } from "node:readline";
import { Cancelled, exitCodes } from "./interrupts.ts";
import type { World } from "./world.ts";

/**
 * Lines from a terminal, with the shell's editing and the arrow keys for earlier ones. The prompts of clack know
 * neither, take Escape for leaving, and do not see Ctrl-D. Between lines the terminal is left alone, so that Ctrl-C is
 * a signal again.
 */
export class LineReader {
  readonly #world: World;
  #history: string[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /**
   * The next line; undefined when Ctrl-D or the end of the input closed it. Ctrl-C drops what was typed, and on an empty
   * line ends the command.
   */
  read(prompt: string): Promise<string | undefined> {
    const { stdin: input, stdout: output, interrupts } = this.#world;
    const { signal } = interrupts;
    signal.throwIfAborted();
    const lines = createInterface({ input, output, prompt, history: this.#history, terminal: true });
    lines.on("history", (history) => {
      this.#history = history;
    });
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        lines.close();
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const typed: string[] = [];
      lines.on("line", (line) => {
        typed.push(line);
        if (typed.length > 1) return;
        // Pasted lines come in one go: they are one text.
        setImmediate(() => {
          resolve([...typed, ...(lines.line === "" ? [] : [lines.line])].join("\n"));
          lines.close();
        });
      });
      lines.once("close", () => {
        signal.removeEventListener("abort", onAbort);
        resolve(undefined);
      });
      lines.on("SIGINT", () => {
        output.write("\n");
        if (lines.line === "") interrupts.end(new Cancelled(exitCodes.interrupted));
        else {
          lines.write(null, { ctrl: true, name: "u" });
          lines.write(null, { ctrl: true, name: "k" });
          lines.prompt();
        }
      });
      lines.prompt();
    });
  }
}
