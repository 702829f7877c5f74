import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { nullDevice } from "../../../../test/support/null-device.ts";
import { runProduct } from "../../../../test/support/run-product.ts";
import "../../../../test/support/to-be-allclose.ts";
import type { WebGpuDevice } from "../device.ts";
import { emulatedFragments } from "./fragments.emulated.ts";
import type { Fragments } from "./fragments.ts";
import { matrixGemm, matrixGemmWorkgroups } from "./matrix-gemm.wgsl.ts";
import type { MatrixGemmOptions, Tile } from "./matrix-gemm-plan.ts";

/** Results go into an array of u32, which holds their bits. */
const fragments: Fragments = {
  ...emulatedFragments,
  store: (array, ...rest) =>
    emulatedFragments.store(array, ...rest).replace(/=\s*(vec4f\([^;]*\));/, "= bitcast<vec4u>($1);"),
};

const everything = { bias: true, activation: "gelu", scale: true, residual: true, table: true } as const;

function tile(
  rows: number,
  outputs: number,
  depth: number,
  [down, across, along] = [1, 1, 1],
  ahead = 1,
): Tile {
  return { rows, outputs, depth, down, across, along, ahead };
}

/** Sizes that divide no tile, every format, and all that a tile can vary in. */
const cases: (MatrixGemmOptions & { inputRows: number; tile: Tile })[] = [
  { columns: 72, outputs: 33, format: "f16", input: "f32", inputRows: 33, tile: tile(48, 32, 16) },
  {
    columns: 100,
    outputs: 33,
    format: "f16",
    input: "f32",
    inputRows: 7,
    tile: tile(16, 32, 16, [1, 2, 1]),
    epilogue: everything,
  },
  {
    columns: 128,
    outputs: 19,
    format: "int8",
    input: "f32",
    inputRows: 9,
    tile: tile(16, 16, 64, [1, 1, 4]),
  },
  {
    columns: 192,
    outputs: 40,
    format: "int4",
    input: "f32",
    inputRows: 20,
    tile: tile(16, 32, 32, [1, 1, 2], 2),
  },
  {
    columns: 64,
    outputs: 40,
    format: "f16",
    input: "f16",
    inputRows: 20,
    gated: true,
    tile: tile(16, 64, 16, [1, 2, 1]),
  },
  {
    columns: 72,
    outputs: 20,
    format: "int4",
    input: "f16",
    inputRows: 3,
    gated: true,
    tile: tile(16, 32, 32),
  },
  {
    columns: 64,
    outputs: 5,
    format: "int8",
    input: "f16",
    inputRows: 17,
    gated: true,
    tile: tile(16, 32, 32),
  },
  { columns: 64, outputs: 40, format: "bf16", input: "f16", inputRows: 1, tile: tile(32, 48, 16, [2, 1, 1]) },
  { columns: 64, outputs: 16, format: "f32", input: "f32", inputRows: 16, tile: tile(16, 16, 32) },
  {
    columns: 104,
    outputs: 36,
    format: "f16",
    input: "f32",
    inputRows: 33,
    wide: true,
    tile: tile(32, 64, 16, [2, 2, 1]),
    epilogue: everything,
  },
  {
    columns: 64,
    outputs: 44,
    format: "int8",
    input: "f16",
    inputRows: 7,
    wide: true,
    result: "f16",
    tile: tile(16, 32, 64, [1, 1, 4]),
    epilogue: { bias: true, activation: "gelu" },
  },
  {
    columns: 128,
    outputs: 20,
    format: "int4",
    input: "f16",
    inputRows: 19,
    gated: true,
    wide: true,
    result: "f16",
    tile: tile(16, 64, 32, [1, 2, 1]),
  },
  {
    columns: 64,
    outputs: 24,
    format: "int8",
    input: "f16",
    inputRows: 40,
    gated: true,
    wide: true,
    tile: tile(48, 32, 32),
  },
  // No more than the upper half of the last tile is inside.
  { columns: 64, outputs: 36, format: "f16", input: "f16", inputRows: 70, tile: tile(64, 32, 16, [2, 1, 1]) },
  {
    columns: 64,
    outputs: 20,
    format: "f16",
    input: "f16",
    inputRows: 100,
    tile: tile(96, 32, 16, [3, 1, 1]),
  },
  {
    columns: 104,
    outputs: 36,
    format: "int8",
    input: "f32",
    inputRows: 96,
    wide: true,
    tile: tile(64, 64, 32, [2, 2, 1]),
    epilogue: everything,
  },
  {
    columns: 128,
    outputs: 40,
    format: "int4",
    input: "f16",
    inputRows: 48,
    gated: true,
    wide: true,
    tile: tile(32, 64, 32, [1, 2, 1], 2),
  },
];

describe("matrixGemm", () => {
  it.each(cases.map((of) => [matrixGemm(of).key, of] as const))("%s compiles", async (_, options) => {
    const module = (await nullDevice()).createShaderModule({ code: matrixGemm(options).code });
    expect((await module.getCompilationInfo()).messages.filter(({ type }) => type === "error")).toEqual([]);
  });
});

describe.each(await presentAdapters("lavapipe"))("matrixGemm with emulated fragments on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());
  const run = async (
    { inputRows, ...rest }: (typeof cases)[0],
    firstValue?: number,
    change?: [string, string],
  ) => {
    const options = { ...rest, fragments };
    const kernel = matrixGemm(options);
    const code = change ? kernel.code.replace(...change) : kernel.code;
    if (change) expect(code).not.toBe(kernel.code);
    return runProduct(await device(), { ...kernel, code }, matrixGemmWorkgroups(options, inputRows), {
      options,
      rows: inputRows,
      halfInput: options.input === "f16",
      status: options.input === "f32" || options.result === "f16",
      wide: options.wide,
      halfOutput: options.result === "f16",
      halves: true,
      firstValue,
    });
  };
  /** int4 times its scale is rounded to f16. */
  const tolerance = { f16: 2e-6, f32: 3e-4, bf16: 2e-6, int8: 2e-6, int4: 3e-4 };

  it.each(cases.map((of) => [matrixGemm(of).key, of] as const))("%s", async (_, options) => {
    const { got, wanted, strays, status } = await run(options);
    const ofRange = options.result === "f16" ? 5e-4 : tolerance[options.format];
    expect(got).toBeAllclose(wanted, { ofRange });
    expect(strays).toBe(0);
    expect(status).toBe(0);
  });

  it("says when an input does not fit f16", async () => {
    expect((await run(cases[0], 65504)).status).toBe(0);
    expect((await run(cases[0], -65536)).status).toBe(1);
  });

  it("says when an output does not fit f16", async () => {
    const narrow = cases.find(({ result, gated }) => result === "f16" && !gated)!;
    expect((await run(narrow, 1)).status).toBe(0);
    expect((await run(narrow, 65504)).status).toBe(0);
    expect(
      (
        await run(
          { ...narrow, columns: 64, epilogue: { ...narrow.epilogue, activation: undefined } },
          65504,
          ["let value = finish", "let value = 1e4 * finish"],
        )
      ).status,
    ).toBe(1);
  });

  it("is found out when its last row of fragments reads a row too far", async () => {
    const { got, wanted } = await run(cases[0], undefined, ["leftFragment + 0u", "leftFragment + 3u"]);
    expect(got).not.toBeAllclose(wanted, { ofRange: 0.01 });
  });
});
