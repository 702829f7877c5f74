import { OptionError } from "../errors.ts";

export interface SampleFramesOptions {
  /** Start and end in seconds; the whole clip when absent or null. The end may be `Infinity`. */
  bound?: readonly [number, number] | null;
  /** Average frames a second of the clip: only a `bound` needs it, to turn seconds into frames. */
  fps: number;
  /** The index of the clip's last frame: its frame count less one. */
  lastFrame: number;
  /** How many frames to choose. */
  segments: number;
  /** No frame before this index is chosen. */
  firstFrame?: number;
}

/**
 * Which frames of a clip the model sees: the clip (or its `bound`) is cut into `segments` equal parts, and the middle
 * frame of each is taken. Returns `segments` frame indices, in order; a clip shorter than `segments` repeats frames.
 *
 * A bound that starts after the last frame gives indices past `lastFrame`, as the published function does: the caller,
 * who knows the clip, says so to its user.
 *
 * Source: `get_index` of the InternVL2 model card. Python's `round` and numpy's round halves to the even neighbour, `int`
 * truncates; both are kept.
 *
 * @throws OptionError for a number out of its range or a bound that ends before it starts.
 */
export function sampleFrames(options: SampleFramesOptions): number[] {
  const { bound = null, fps, lastFrame, segments, firstFrame = 0 } = options;
  requireCount("segments", segments, 1);
  requireCount("lastFrame", lastFrame, 0);
  requireCount("firstFrame", firstFrame, 0);
  if (firstFrame > lastFrame) {
    throw new OptionError("firstFrame", firstFrame, `must not be after the last frame, ${lastFrame}`);
  }

  let start = firstFrame;
  let end = lastFrame;
  if (bound !== null) {
    requireBound(bound);
    if (!(fps > 0 && Number.isFinite(fps))) throw new OptionError("fps", fps, "must be more than 0");
    start = Math.max(firstFrame, roundHalfToEven(bound[0] * fps));
    end = Math.min(roundHalfToEven(bound[1] * fps), lastFrame);
  }

  const length = (end - start) / segments;
  return Array.from({ length: segments }, (_, segment) => {
    const index = Math.trunc(start + length / 2 + roundHalfToEven(length * segment));
    return index + 0; // a bound past a one-frame clip truncates to -0; there is no -0 among Python's ints
  });
}

function requireCount(option: string, value: number, least: number): void {
  if (!(Number.isSafeInteger(value) && value >= least)) {
    throw new OptionError(option, value, `must be a whole number, ${least} or more`);
  }
}

function requireBound(bound: readonly [number, number]): void {
  const [from, to] = bound;
  if (bound.length !== 2 || !(from >= 0 && Number.isFinite(from)) || !(to >= from)) {
    throw new OptionError("bound", bound, "must be [start, end] in seconds, with 0 <= start <= end");
  }
}

/** Python's `round`: halves go to the even neighbour, so that 0.5 gives 0 and 1.5 gives 2. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
