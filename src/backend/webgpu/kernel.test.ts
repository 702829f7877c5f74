import { describe, expect, it } from "vitest";
import { faultsOf } from "../../../test/support/null-device.ts";
import { foldWorkgroups, type Kernel, mostWorkgroups } from "./kernel.ts";

const doubles: Kernel = {
  key: "doubles",
  code: `
    @group(0) @binding(0) var<storage, read_write> values: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { values[id.x] *= 2.0; }`,
  bindings: ["write"],
  features: [],
};

describe("the null device", () => {
  it("has nothing to say of a kernel that is right, and names what is wrong", async () => {
    expect(await faultsOf(doubles)).toEqual([]);
    const unknown = { ...doubles, code: doubles.code.replace("id.x", "idx") };
    expect((await faultsOf(unknown)).join()).toMatch(/unresolved value 'idx'/);
    expect((await faultsOf({ ...doubles, bindings: ["read"] })).join()).toMatch(/binding/);
  });
});

describe("workgroups", () => {
  it("are folded into y where x can not hold them", () => {
    expect(foldWorkgroups(1)).toEqual([1, 1, 1]);
    expect(foldWorkgroups(mostWorkgroups, 3)).toEqual([mostWorkgroups, 1, 3]);
    for (const count of [mostWorkgroups + 1, 200_000, 1_000_001]) {
      const [x, y] = foldWorkgroups(count);
      expect(x).toBeLessThanOrEqual(mostWorkgroups);
      expect(x * y).toBeGreaterThanOrEqual(count);
      expect(x * y - count).toBeLessThan(y);
    }
  });
});
