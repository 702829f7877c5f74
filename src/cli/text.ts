import type { Output } from "./world.ts";

/** What lets a text take over a terminal, or make it unreadable: control characters, but for tab and newline. */
const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A text that came from elsewhere (a model, a file), fit for this output: untouched unless it is a terminal. */
export function forOutput(output: Output, text: string): string {
  return output.isTTY ? text.replace(controls, "") : text;
}

export function writeLine(output: Output, text = ""): void {
  output.write(`${text}\n`);
}

export function writeJson(output: Output, value: unknown): void {
  writeLine(output, JSON.stringify(value, null, 2));
}

/** Lines of a name and its value, in two columns. */
export function table(rows: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join("\n");
}

/** `16.15 GB`; decimal units, as disks and the hub count. */
export function bytesText(bytes: number): string {
  return scaled(bytes, "B");
}

/** `13.9 GFLOP`. */
export function flopText(flops: number): string {
  return scaled(flops, "FLOP");
}

/** `8.08 billion`. */
export function countText(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} billion`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)} million`;
  return count.toLocaleString("en-US");
}

function scaled(value: number, unit: string): string {
  const prefixes = ["", "k", "M", "G", "T", "P"];
  let step = 0;
  let rest = value;
  while (rest >= 999.5 && step < prefixes.length - 1) {
    rest /= 1000;
    step++;
  }
  const digits = step === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${prefixes[step]}${unit}`;
}
