import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { runProduct } from "../../../../test/support/run-product.ts";
import "../../../../test/support/to-be-allclose.ts";
import type { WebGpuDevice } from "../device.ts";
import { type DotGemvOptions, dotGemv, dotGemvWorkgroups } from "./dot-gemv.wgsl.ts";
import { dotSharings } from "./product-tiles.ts";

const small = { lanes: 4, threads: 16, together: 2, unroll: 1 };
const everything = { bias: true, activation: "gelu", scale: true, residual: true, table: true } as const;
/** Sizes that divide nothing, one of each way through the kernel. */
const cases: (DotGemvOptions & { inputRows: number })[] = [
  ...(["int8", "int4"] as const).flatMap((format) => [
    { columns: 100, outputs: 33, format, rows: 1, inputRows: 1, ...small },
    { columns: 588, outputs: 7, format, rows: 4, inputRows: 3, ...small, together: 1, epilogue: everything },
    { columns: 2048, outputs: 9, format, rows: 1, inputRows: 1, ...small, unroll: 3, together: 4 },
    { columns: 96, outputs: 9, format, rows: 2, inputRows: 2, ...small, gated: true },
    {
      columns: 604,
      outputs: 19,
      format,
      rows: 1,
      inputRows: 1,
      ...small,
      unroll: 2,
      gated: true,
      normalise: { epsilon: 1e-6 },
    },
  ]),
];

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("dot-gemv on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());

  it.each(cases.map((of) => [dotGemv(of).key, of] as const))("%s", async (_, { inputRows, ...options }) => {
    const run = { options, rows: inputRows };
    const kernel = dotGemv(options);
    const workgroups = dotGemvWorkgroups(options);
    const { got, wanted, strays } = await runProduct(await device(), kernel, workgroups, {
      ...run,
      eightBits: true,
    });
    // A norm made in another order moves a number across a half now and then.
    const near = { ofRange: options.normalise ? 2e-3 : 5e-6 };
    expect(got).toBeAllclose(wanted, near);
    expect(strays).toBe(0);
    const { wanted: exact } = await runProduct(await device(), kernel, workgroups, run);
    expect(got).toBeAllclose(exact, { ofRange: 2e-2 });
    expect([got[0] + 0.02, ...got.slice(1)]).not.toBeAllclose(wanted, near);
  });

  it.each(["int8", "int4"] as const)("computes alike in every way that is tried, %s", async (format) => {
    const { info, limits } = await device();
    const most = limits.maxComputeInvocationsPerWorkgroup;
    for (const { lanes: wanted = 32, ...sharing } of dotSharings[format]) {
      const lanes = Math.min(wanted, info.subgroupMinSize);
      const threads = Math.min(sharing.threads, most);
      const options = { columns: 600, outputs: 70, format, rows: 1, gated: true, ...sharing, threads, lanes };
      const run = { options, rows: 1, eightBits: true };
      const { got, wanted: exact } = await runProduct(
        await device(),
        dotGemv(options),
        dotGemvWorkgroups(options),
        run,
      );
      expect(got).toBeAllclose(exact, { ofRange: 5e-6 });
    }
  });

  it.each(["int8", "int4"] as const)("passes on what is no number, %s", async (format) => {
    const { inputRows: rows, ...options } = { ...cases[0], format };
    const kernel = dotGemv(options);
    for (const firstValue of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const run = { options, rows, firstValue };
      const { got } = await runProduct(await device(), kernel, dotGemvWorkgroups(options), run);
      expect(got.some(Number.isFinite)).toBe(false);
    }
  });

  it("is found out when it takes the wrong half of a byte", async () => {
    const { inputRows: rows, ...options } = cases.find(({ format }) => format === "int4")!;
    const kernel = dotGemv(options);
    const wrong = { ...kernel, code: kernel.code.replace(">> vec4u(4u)", ">> vec4u(3u)") };
    const run = { options, rows, eightBits: true };
    const { got, wanted } = await runProduct(await device(), wrong, dotGemvWorkgroups(options), run);
    expect(got).not.toBeAllclose(wanted, { ofRange: 0.01 });
  });
});
