import { describe, expect, it } from "vitest";
import { OptionError } from "../../errors.ts";
import { parseSettings } from "./settings.ts";

describe("INTERNVL_WEBGPU", () => {
  it("is words with commas between, some with values", () => {
    expect(parseSettings("")).toMatchObject({ stock: false, portable: false, adapter: undefined });
    const all = parseSettings("stock, portable,trial,adapter=llvmpipe,memory=1e9,variant=plain");
    expect(all).toEqual({
      stock: true,
      portable: true,
      nullDevice: false,
      trial: true,
      adapter: "llvmpipe",
      memory: 1e9,
      variant: "plain",
    });
    expect(parseSettings("null").nullDevice).toBe(true);
  });

  it("refuses other words", () => {
    for (const text of ["fast", "adapter", "memory=much", "stock=1", "memory=-1"]) {
      expect(() => parseSettings(text)).toThrow(OptionError);
    }
  });
});
