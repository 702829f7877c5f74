import { describe, expect, it } from "vitest";
import { goldenFolder } from "../../test/golden-tokenizers.ts";
import { serveRanges } from "../../test/support/range-server.ts";
import { OptionError } from "../errors.ts";
import { demo } from "./built-in-model.node.ts";
import { demo as demoOfPages } from "./built-in-model.ts";
import { InternVL } from "./internvl.ts";
import { openSource } from "./load.ts";

describe("a model's source", () => {
  it("may be an address, in Node too", async () => {
    await using server = await serveRanges({ "/tiny/": goldenFolder("tiny-2b") });
    await using model = await InternVL.load(`${server.origin}/tiny`, { device: "reference" });
    await using same = await InternVL.load(goldenFolder("tiny-2b"), { device: "reference" });
    const ids = [1, 5, 6, 7];
    expect(await model.logits(ids)).toEqual(await same.logits(ids));
  });

  it("may be files by their addresses", async () => {
    await using server = await serveRanges({ "/": goldenFolder("tiny-2b") });
    const addresses = { "config.json": `${server.origin}/config.json` };
    const files = await openSource({ label: "parts", addresses });
    expect(await files.has("config.json")).toBe(true);
    expect(await files.has("model.safetensors")).toBe(false);
  });

  it.each([
    ["https://example.org/", { revision: "main" }, "revision"],
    ["https://example.org/", { offline: true }, "offline"],
    ["demo", { cache: false }, "cache"],
    ["demo", { fetch }, "fetch"],
  ])("%s: an option that means nothing for it is refused: %o", async (source, options, named) => {
    await expect(openSource(source, options)).rejects.toMatchObject({ option: named });
    await expect(openSource(source, options)).rejects.toThrow(OptionError);
  });

  it.each([undefined, null, 5, {}, { addresses: undefined, read: 1 }])("%o is none", async (source) => {
    await expect(openSource(source as never)).rejects.toThrow(OptionError);
  });

  it("has the built-in model under the same name in Node and in pages", async () => {
    const files = await openSource(demo);
    for (const name of Object.keys(demoOfPages.addresses)) expect(await files.has(name)).toBe(true);
    await files.close();
  });
});
