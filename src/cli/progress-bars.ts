import { Presets, SingleBar } from "cli-progress";
import type { OnProgress, Progress } from "../progress.ts";
import { bytesText } from "./text.ts";
import type { World } from "./world.ts";

/** Progress on a terminal's standard error; nothing at all elsewhere. */
export interface ProgressBars {
  readonly onProgress: OnProgress | undefined;
  /** Takes the bar away, before something else is written. */
  clear(): void;
}

const titles: Readonly<Record<Progress["phase"], string>> = {
  download: "Downloading",
  verify: "Verifying",
  load: "Loading",
  compile: "Choosing kernels",
  encode: "Looking at tiles",
  prefill: "Reading tokens",
};

const barWidth = 20;
/** Title, `1000 MB of 1000 GB`, and the spaces between. */
const longestNumbers = 40;

/** Phases that count bytes. */
const inBytes: ReadonlySet<Progress["phase"]> = new Set(["download", "verify"]);

/** One bar at a time: the phase at hand. */
export function showProgress({ stderr }: World): ProgressBars {
  if (!stderr.isTTY) return { onProgress: undefined, clear() {} };
  let bar: SingleBar | undefined;
  let phase: Progress["phase"] | undefined;
  const clear = () => {
    bar?.stop();
    bar = undefined;
    phase = undefined;
  };
  return {
    onProgress(progress) {
      if (progress.phase !== phase) {
        clear();
        phase = progress.phase;
        bar = startBar(stderr, progress);
      }
      bar?.setTotal(progress.total);
      bar?.update(progress.loaded, { file: fileOf(progress, stderr) });
    },
    clear,
  };
}

function startBar(stream: World["stderr"], progress: Progress): SingleBar {
  const bar = new SingleBar(
    {
      stream,
      format: `${titles[progress.phase]} {bar} {value} of {total} {file}`,
      formatValue: (value, _, type) =>
        inBytes.has(progress.phase) && (type === "value" || type === "total")
          ? bytesText(value)
          : String(value),
      barsize: barWidth,
      clearOnComplete: true,
      // Off, these leave a terminal without its cursor or its line breaks when the process is ended from outside.
      hideCursor: null,
      linewrap: true,
      gracefulExit: false,
    },
    Presets.shades_classic,
  );
  bar.start(progress.total, progress.loaded, { file: fileOf(progress, stream) });
  return bar;
}

/** The last part of a path, as much as the line has room for: a bar that wraps cannot be taken away again. */
function fileOf({ phase, file = "" }: Progress, { columns = 80 }: World["stderr"]): string {
  if (phase === "load") return "";
  const name = file.split("/").at(-1) ?? "";
  const room = columns - barWidth - longestNumbers;
  return name.length <= room ? name : `…${name.slice(name.length - Math.max(room - 1, 0))}`;
}
