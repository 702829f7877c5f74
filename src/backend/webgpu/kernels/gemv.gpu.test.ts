import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { runProduct } from "../../../../test/support/run-product.ts";
import "../../../../test/support/to-be-allclose.ts";
import type { WebGpuDevice } from "../device.ts";
import { gemv, gemvWorkgroups } from "./gemv.wgsl.ts";
import type { GemvOptions } from "./gemv-plan.ts";

const everything = { bias: true, activation: "gelu", scale: true, residual: true, table: true } as const;
const formats = ["f32", "f16", "bf16", "int8", "int4"] as const;
// Few threads and loads make short shaders: software adapters take seconds to compile long ones.
const small = { threads: 32, together: 2, unroll: 1 };
/** Sizes that divide nothing, one of each way through the kernel. */
const cases: (GemvOptions & { inputRows: number })[] = [
  ...formats.map((format) => ({ columns: 100, outputs: 33, format, rows: 1, inputRows: 1, ...small })),
  { columns: 588, outputs: 7, format: "f16", rows: 4, inputRows: 3, epilogue: everything, ...small },
  { columns: 5, outputs: 3, format: "bf16", rows: 8, inputRows: 7, ...small, together: 1 },
  { columns: 96, outputs: 9, format: "int8", rows: 2, inputRows: 2, gated: true, ...small, staged: false },
  {
    columns: 600,
    outputs: 9,
    format: "f16",
    rows: 4,
    inputRows: 3,
    ...small,
    staged: true,
    normalise: { epsilon: 1e-6 },
  },
  { columns: 1536, outputs: 5, format: "bf16", rows: 1, inputRows: 1, together: 2 },
  {
    columns: 1024,
    outputs: 5,
    format: "int4",
    rows: 2,
    inputRows: 2,
    gated: true,
    normalise: { epsilon: 1e-5 },
    ...small,
  },
  ...(["convert", "magic", "half", "bits"] as const).flatMap((decode) =>
    (["int8", "int4"] as const).map((format) => ({
      columns: 192,
      outputs: 5,
      format,
      rows: 1,
      inputRows: 1,
      decode,
      words: 4 as const,
      staged: format === "int4",
      ...small,
    })),
  ),
];

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("gemv on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());

  it.each(cases.map((of) => [gemv(of).key, of] as const))("%s", async (_, { inputRows, ...options }) => {
    const kernel = gemv(options);
    const { got, wanted, strays } = await runProduct(await device(), kernel, gemvWorkgroups(options), {
      options,
      rows: inputRows,
    });
    const near = { ofRange: options.decode === "bits" ? 1e-4 : 2e-6 };
    expect(got).toBeAllclose(wanted, near);
    expect(strays).toBe(0);
    // The same comparison rejects an answer with one number off.
    expect([got[0] + 0.01, ...got.slice(1)]).not.toBeAllclose(wanted, near);
  });

  it("is found out when it reads the wrong half of a word", async () => {
    const options = { ...cases[1], inputRows: undefined };
    const kernel = gemv(options);
    const wrong = {
      ...kernel,
      code: kernel.code.replace("unpack2x16float(word)", "unpack2x16float(word).yx"),
    };
    const { got, wanted } = await runProduct(await device(), wrong, gemvWorkgroups(options), {
      options,
      rows: 1,
    });
    expect(got).not.toBeAllclose(wanted, { ofRange: 0.01 });
  });

  it("looks up a word of each megabyte of the weights that come next, and computes the same", async () => {
    const options = { columns: 96, outputs: 9, format: "f16", rows: 1, gated: true, ...small } as const;
    const megabyte = 2 ** 18; // in words
    const words = (pages: number, first: number) => {
      const all = new Uint32Array(pages * megabyte - 8);
      for (let page = 0; page < pages; page++) all[page * megabyte] = first + page;
      return all;
    };
    const ahead = { ...options, looksAhead: 3 };
    const run = { options, rows: 1, upcoming: [words(3, 256), words(2, 1), words(1, 4096)] };
    const { got, wanted, lookedUp } = await runProduct(
      await device(),
      gemv(ahead),
      gemvWorkgroups(ahead),
      run,
    );
    expect(got).toBeAllclose(wanted, { ofRange: 1e-5 });
    expect([...lookedUp!.slice(0, 5)]).toEqual([256 ^ 1 ^ 4096, 257 ^ 2, 258, 0, 0]);
  });
});
