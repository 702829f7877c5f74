// What all benchmarks share: the best of several runs, the machine they ran on, and a table to paste into SPEED.md.
import { availableParallelism, cpus, loadavg } from "node:os";

/**
 * Seconds that some work takes. On a busy machine it waits for the processor: its own time there counts, where that is
 * less than the time on the clock.
 */
export async function once(work) {
  const [start, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return Math.min((performance.now() - start) / 1e3, (user + system) / 1e6);
}

/** Seconds of the fastest of some runs, after one that warms up. */
export async function best(runs, work) {
  await work();
  let fastest = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run++) fastest = Math.min(fastest, await once(work));
  return fastest;
}

/** Bytes a second that one core reads and writes at once: the limit of whatever only moves bytes. */
export async function copySpeed() {
  const from = new Uint8Array(2 ** 27).fill(1);
  const to = new Uint8Array(from.length);
  return (2 * from.length) / (await best(5, () => to.set(from)));
}

/** Multiplications and additions a second of a plain TypeScript loop over numbers in the cache: the limit of such loops. */
export async function loopSpeed() {
  const n = 2048;
  const a = Float32Array.from({ length: n }, (_, i) => Math.sin(i));
  const b = Float32Array.from({ length: n }, (_, i) => Math.cos(i));
  const times = 20_000;
  let kept = 0;
  const seconds = await best(3, () => {
    for (let time = 0; time < times; time++) {
      let [s, t, u, v] = [0, 0, 0, 0];
      for (let i = 0; i < n; i += 4) {
        s += a[i] * b[i];
        t += a[i + 1] * b[i + 1];
        u += a[i + 2] * b[i + 2];
        v += a[i + 3] * b[i + 3];
      }
      kept += s + t + u + v;
    }
  });
  if (Number.isNaN(kept)) throw new Error("the loop was not computed");
  return (2 * n * times) / seconds;
}

/** Prints the machine, its load before the run, and rows as a Markdown table. */
export function report(title, columns, rows) {
  const load = loadAtStart.map((each) => each.toFixed(1)).join(", ");
  console.log(
    `${title}: ${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.versions.node}, load before the run ${load}\n`,
  );
  console.log(`| ${columns.join(" | ")} |`);
  console.log(`|${columns.map(() => "---").join("|")}|`);
  for (const row of rows) console.log(`| ${row.join(" | ")} |`);
}

const loadAtStart = loadavg();

export const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;
export const duration = (seconds) =>
  seconds >= 1 ? `${seconds.toPrecision(3)} s` : `${(seconds * 1000).toPrecision(3)} ms`;
