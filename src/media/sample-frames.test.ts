import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionError } from "../errors.ts";
import { sampleFrames } from "./sample-frames.ts";

type Row = [
  bound: [number, number] | null,
  fps: number,
  lastFrame: number,
  segments: number,
  indices: number[],
];
const golden = JSON.parse(
  readFileSync(new URL("../../test/golden/images/frames.json", import.meta.url), "utf8"),
);
const rows: Row[] = golden.rows;

const fromRow = ([bound, fps, lastFrame, segments]: Row) => sampleFrames({ bound, fps, lastFrame, segments });

describe("sampleFrames", () => {
  it("agrees with every golden list", () => {
    expect(golden.columns).toEqual(["bound_seconds", "fps", "max_frame", "num_segments", "indices"]);
    expect(rows).toHaveLength(1225);
    for (const row of rows) expect(fromRow(row), JSON.stringify(row.slice(0, 4))).toEqual(row[4]);
  });

  it("is checked by goldens that a round-half-up sampler fails", () => {
    const halfUp = ([bound, fps, last, segments]: Row) => {
      const start = bound === null ? 0 : Math.max(0, Math.round(bound[0] * fps));
      const end = bound === null ? last : Math.min(last, Math.round(bound[1] * fps));
      const length = (end - start) / segments;
      return Array.from({ length: segments }, (_, i) =>
        Math.trunc(start + length / 2 + Math.round(length * i)),
      );
    };
    expect(rows.filter((row) => String(halfUp(row)) !== String(row[4])).length).toBeGreaterThan(0);
  });

  it.each([
    [1, [447]],
    [4, [111, 335, 558, 781]],
    [8, [55, 167, 279, 390, 502, 614, 725, 837]],
    [16, [27, 83, 139, 195, 251, 306, 362, 418, 474, 530, 586, 642, 697, 753, 809, 865]],
  ])("chooses the frames known for an 895-frame clip, %i segments", (segments, indices) => {
    expect(sampleFrames({ fps: 30, lastFrame: 894, segments })).toEqual(indices);
  });

  it("chooses inside a bound", () => {
    expect(sampleFrames({ bound: [2, 10], fps: 30, lastFrame: 894, segments: 8 })).toEqual([
      75, 105, 135, 165, 195, 225, 255, 285,
    ]);
    expect(sampleFrames({ bound: [2, Infinity], fps: 30, lastFrame: 100, segments: 2 })).toEqual([70, 90]);
  });

  it("starts no earlier than firstFrame", () => {
    expect(sampleFrames({ fps: 30, lastFrame: 19, firstFrame: 10, segments: 3 })).toEqual([11, 14, 17]);
  });

  it.each([
    ["segments", { segments: 0 }],
    ["segments", { segments: 1.5 }],
    ["segments", { segments: Number.NaN }],
    ["lastFrame", { lastFrame: -1 }],
    ["firstFrame", { firstFrame: 100 }],
    ["fps", { fps: 0, bound: [0, 1] as [number, number] }],
    ["fps", { fps: Number.POSITIVE_INFINITY, bound: [0, 1] as [number, number] }],
    ["bound", { bound: [2, 1] as [number, number] }],
    ["bound", { bound: [-1, 1] as [number, number] }],
    ["bound", { bound: [Number.NaN, 1] as [number, number] }],
    ["bound", { bound: [1] as unknown as [number, number] }],
  ])("refuses a bad %s: %o", (option, bad) => {
    const call = () => sampleFrames({ fps: 30, lastFrame: 10, segments: 4, ...bad });
    expect(call).toThrow(OptionError);
    expect(call).toThrow(new RegExp(`^${option}:`));
  });

  it("gives indices in order and within the clip, whatever the clip", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e7 }),
        fc.integer({ min: 1, max: 512 }),
        fc.double({ min: 0.1, max: 240, noNaN: true }),
        fc.option(
          fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 2, noNaN: true })),
        ),
        (lastFrame, segments, fps, part) => {
          // A bound that starts within the clip, given as parts of its length.
          const start = part === null ? 0 : Math.floor(part[0] * lastFrame) / fps;
          const bound: [number, number] | null =
            part === null ? null : [start, start + (part[1] * lastFrame) / fps];
          const indices = sampleFrames({ bound, fps, lastFrame, segments });
          expect(indices).toHaveLength(segments);
          expect(indices).toEqual([...indices].sort((a, b) => a - b));
          expect(indices[0]).toBeGreaterThanOrEqual(0);
          expect(indices[segments - 1]).toBeLessThanOrEqual(lastFrame);
        },
      ),
    );
  });
});
