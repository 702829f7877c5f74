import { describe, expect, it } from "vitest";
import { ShapeError } from "../errors.ts";
import { Recorder } from "../graph/recorder.ts";
import { checkInputs } from "./inputs.ts";

const g = new Recorder("step");
g.input("x", "f32", 2, 3);
g.input("ids", "u32", 2, 1);
g.input("tiles", "u8", 1, 4);
const graph = g.finish();
const right = { x: new Float32Array(6), ids: new Uint32Array(2), tiles: new Uint8Array(4) };

describe("checkInputs", () => {
  it("takes what the graph names", () => {
    expect(() => checkInputs(graph, right)).not.toThrow();
  });

  it("names what is missing, of another size, of another type, or too much", () => {
    const { tiles, ...without } = right;
    expect(tiles).toHaveLength(4);
    const check = (inputs: Parameters<typeof checkInputs>[1]) => () => checkInputs(graph, inputs);
    expect(check(without)).toThrow("step: input tiles is missing, want u8 [1, 4]");
    expect(check({ ...right, x: new Float32Array(5) })).toThrow(
      "step: input x is Float32Array of 5, want f32 [2, 3]",
    );
    expect(check({ ...right, ids: new Float32Array(2) })).toThrow(
      "step: input ids is Float32Array of 2, want u32 [2, 1]",
    );
    expect(check({ ...right, x: new Uint32Array(6) })).toThrow(ShapeError);
    expect(check({ ...right, tiles: new Uint32Array(4) })).toThrow(ShapeError);
    expect(check({ ...right, y: new Uint8Array(1) })).toThrow("step: there is no input y");
  });
});
