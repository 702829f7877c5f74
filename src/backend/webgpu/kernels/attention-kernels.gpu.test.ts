import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import {
  type PagedCase,
  runPagedAttention,
  runTileAttention,
  type TileCase,
} from "../../../../test/support/run-attention.ts";
import "../../../../test/support/to-be-allclose.ts";
import type { WebGpuDevice } from "../device.ts";
import { emulatedFragments } from "./fragments.emulated.ts";
import { type PagedDecodeOptions, pagedDecode, pagedDecodeWorkgroups } from "./paged-decode.wgsl.ts";
import { pagedDecodeCombine, pagedDecodeCombineWorkgroups } from "./paged-decode-combine.wgsl.ts";
import { pagedDecodePortable } from "./paged-decode-portable.wgsl.ts";
import { pagedDecodePartialBytes } from "./paged-decode-splits.ts";
import { pagedPrefillMatrix, pagedPrefillMatrixWorkgroups } from "./paged-prefill-matrix.wgsl.ts";
import { pagedPrefillPortable, pagedPrefillPortableWorkgroups } from "./paged-prefill-portable.wgsl.ts";
import {
  tileAttentionMatrix,
  tileAttentionMatrixWorkgroups,
  tileHalves,
  tileHalvesBytes,
  tileHalvesWorkgroups,
} from "./tile-attention-matrix.wgsl.ts";
import { tileAttentionPortable, tileAttentionPortableWorkgroups } from "./tile-attention-portable.wgsl.ts";

const exact = { ofRange: 2e-6 };
/** Queries, keys, values and weights rounded to f16. */
const rounded = { ofRange: 5e-3 };
/** Outputs rounded to f16. */
const narrowed = { ofRange: 5e-4 };

const tiles: (TileCase & { together: boolean })[] = [
  { heads: 2, headSize: 32, groups: 2, groupRows: 1, together: false },
  { heads: 1, headSize: 64, groups: 2, groupRows: 33, together: true, spread: 4 },
  { heads: 1, headSize: 128, groups: 1, groupRows: 7, together: true },
];

const prefills: PagedCase[] = [
  {
    heads: 2,
    keyValueHeads: 1,
    headSize: 32,
    pageSize: 8,
    cacheType: "f32",
    lengths: [33, 1],
    fresh: [33, 1],
  },
  {
    heads: 6,
    keyValueHeads: 2,
    headSize: 64,
    pageSize: 16,
    cacheType: "f16",
    lengths: [7, 50],
    fresh: [2, 21],
    spread: 4,
  },
];

/** Several lengths, a sequence without new tokens, several new tokens, pages that splits cut. */
const decodes: (PagedCase & { splits: number; lanes: number })[] = [
  {
    heads: 3,
    keyValueHeads: 1,
    headSize: 64,
    pageSize: 64,
    cacheType: "f16",
    lengths: [150],
    fresh: [1],
    splits: 41,
    lanes: 4,
  },
  {
    heads: 4,
    keyValueHeads: 2,
    headSize: 32,
    pageSize: 8,
    cacheType: "f32",
    lengths: [70, 5, 90],
    fresh: [3, 0, 8],
    spread: 4,
    splits: 1,
    lanes: 4,
  },
  {
    heads: 3,
    keyValueHeads: 3,
    headSize: 96,
    pageSize: 16,
    cacheType: "f32",
    lengths: [1, 37],
    fresh: [1, 1],
    splits: 3,
    lanes: 2,
  },
];

function decodeRun(
  options: Omit<PagedDecodeOptions, "lanes" | "unroll" | "threads"> & { readonly subgroups?: boolean },
  of: PagedCase,
  splits: number,
) {
  const rows = of.fresh.reduce((sum, n) => sum + n, 0);
  return {
    workgroups: pagedDecodeWorkgroups(options, { rows, splits }),
    rest: {
      splits,
      partialBytes: pagedDecodePartialBytes(options, { rows, splits }),
      ...(splits > 1 && {
        combine: {
          kernel: pagedDecodeCombine(options),
          workgroups: pagedDecodeCombineWorkgroups(options, { rows }),
        },
      }),
    },
  };
}

const optionsOf = ({ heads, keyValueHeads, headSize, pageSize, cacheType }: PagedCase) => ({
  heads,
  keyValueHeads,
  headSize,
  pageSize,
  cacheType,
});
const nameOf = (of: object) => JSON.stringify(of).replace(/[{}"]/g, "");

function withDevice(adapter: Parameters<typeof openAdapter>[0]) {
  let opened: Promise<WebGpuDevice> | undefined;
  afterAll(async () => (await opened)?.destroy());
  return () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
}

interface Answer {
  readonly got: number[];
  readonly wanted: number[];
  readonly strays: number;
}

function check({ got, wanted, strays }: Answer, tolerance: { ofRange: number }) {
  expect(got).toBeAllclose(wanted, tolerance);
  expect(strays).toBe(0);
  // The same comparison rejects an answer with one number off.
  const range = Math.max(...wanted) - Math.min(...wanted);
  expect([got[0] + range / 100, ...got.slice(1)]).not.toBeAllclose(wanted, tolerance);
}

describe.each(await presentAdapters("SwiftShader"))("attention for every device on %s", (adapter) => {
  const device = withDevice(adapter);

  it.each(tiles.map((of) => [nameOf(of), of] as const))("inside tiles: %s", async (_, of) => {
    const options = {
      heads: of.heads,
      headSize: of.headSize,
      together: of.together,
      unroll: 2,
      rolled: true,
    };
    const workgroups = tileAttentionPortableWorkgroups(options, of);
    check(await runTileAttention(await device(), tileAttentionPortable(options), workgroups, of, of), exact);
  });

  it.each(prefills.map((of) => [nameOf(of), of] as const))("over pages: %s", async (_, of) => {
    const options = { ...optionsOf(of), unroll: 2, rolled: true };
    const rows = of.fresh.reduce((sum, n) => sum + n, 0);
    const workgroups = pagedPrefillPortableWorkgroups(options, { rows });
    check(await runPagedAttention(await device(), pagedPrefillPortable(options), workgroups, of), exact);
  });

  it.each(decodes.map((of) => [nameOf(of), of] as const))("split: %s", async (_, { splits, ...of }) => {
    const options = optionsOf(of);
    const { workgroups, rest } = decodeRun({ ...options, subgroups: false }, of, splits);
    check(await runPagedAttention(await device(), pagedDecodePortable(options), workgroups, of, rest), exact);
  });

  it("is found out when it forgets a key", async () => {
    const of = prefills[0];
    const options = { ...optionsOf(of), unroll: 2, rolled: true };
    const kernel = pagedPrefillPortable(options);
    const wrong = {
      ...kernel,
      code: kernel.code.replace("- 1u - token)", "- 1u - token) - min(token, 1u)"),
    };
    expect(wrong.code).not.toBe(kernel.code);
    const workgroups = pagedPrefillPortableWorkgroups(options, { rows: 34 });
    const { got, wanted } = await runPagedAttention(await device(), wrong, workgroups, of);
    expect(got).not.toBeAllclose(wanted, { ofRange: 0.01 });
  });
});

// Their subgroups are of 8 and of 4.
describe.each(await presentAdapters("lavapipe", "SwiftShader"))(
  "attention with subgroups on %s",
  (adapter) => {
    const device = withDevice(adapter);

    it.each(decodes.map((of) => [nameOf(of), of] as const))(
      "split: %s",
      async (_, { splits, lanes, ...of }) => {
        const options = { ...optionsOf(of), lanes, unroll: 1, threads: 32 };
        const { workgroups, rest } = decodeRun(options, of, splits);
        check(await runPagedAttention(await device(), pagedDecode(options), workgroups, of, rest), exact);
      },
    );

    it.each(decodes.slice(0, 2).map((of) => [nameOf(of), of] as const))(
      "split, a head to a lane: %s",
      async (_, { splits, ...of }) => {
        const options = { ...optionsOf(of), lanes: 4, unroll: 2, threads: 32, scatter: true };
        const { workgroups, rest } = decodeRun(options, of, splits);
        check(await runPagedAttention(await device(), pagedDecode(options), workgroups, of, rest), exact);
      },
    );

    it.each(decodes.map((of) => [nameOf(of), of] as const))(
      "split, to f16: %s",
      async (_, { splits, lanes, ...of }) => {
        const options = { ...optionsOf(of), lanes, unroll: 1, threads: 32 };
        // The kernel that merges writes f16; of one split there is none.
        const kernel = pagedDecode(splits > 1 ? options : { ...options, result: "f16" });
        const { workgroups, rest } = decodeRun({ ...options, result: "f16" }, of, splits);
        const run = async (valueFactor?: number) =>
          runPagedAttention(await device(), kernel, workgroups, of, {
            ...(splits > 1 ? rest : { status: true }),
            halfOutput: true,
            valueFactor,
          });
        const answer = await run();
        check(answer, narrowed);
        expect(answer.status).toBe(0);
        if (of.cacheType === "f32") expect((await run(1e6)).status).toBe(1);
      },
    );
  },
);

// lavapipe takes minutes to compile these.
describe.each(await presentAdapters("SwiftShader"))("attention on emulated matrix units on %s", (adapter) => {
  const device = withDevice(adapter);
  const one = { subgroupRows: 16, subgroups: 2, keys: 32 } as const;
  const other = { subgroupRows: 32, subgroups: 1, keys: 32 } as const;

  it.each([
    ["a last step of one key", { heads: 2, headSize: 32, groups: 2, groupRows: 33 }, one],
    ["scores far apart", { heads: 1, headSize: 32, groups: 1, groupRows: 70, spread: 4 }, other],
  ] as const)("inside tiles: %s", async (_, of, tiles) => {
    const options = { heads: of.heads, headSize: of.headSize, together: true, tiles };
    const kernel = tileAttentionMatrix(options, emulatedFragments);
    const workgroups = tileAttentionMatrixWorkgroups(options, of);
    const answer = await runTileAttention(await device(), kernel, workgroups, of, {
      together: true,
      status: true,
    });
    check(answer, rounded);
    expect(answer.status).toBe(0);
    const beyond = { together: true, status: true, firstValue: 1e7 };
    const { status } = await runTileAttention(await device(), kernel, workgroups, of, beyond);
    expect(status).toBe(1);
  });

  it("inside tiles, to f16", async () => {
    const of = { heads: 2, headSize: 32, groups: 2, groupRows: 7 };
    const options = { ...of, together: true, result: "f16", tiles: one } as const;
    const kernel = tileAttentionMatrix(options, emulatedFragments);
    const run = async (code = kernel.code) =>
      runTileAttention(await device(), { ...kernel, code }, tileAttentionMatrixWorkgroups(options, of), of, {
        together: true,
        status: true,
        halfOutput: true,
      });
    const answer = await run();
    check(answer, rounded);
    expect(answer.status).toBe(0);
    const beyond = kernel.code.replace("written(value)", "written(1e7 * value)");
    expect(beyond).not.toBe(kernel.code);
    expect((await run(beyond)).status).toBe(1);
    const swapped = kernel.code.replace("pack2x16float(value.zw)", "pack2x16float(value.wz)");
    expect(swapped).not.toBe(kernel.code);
    const wrong = await run(swapped);
    expect(wrong.got).not.toBeAllclose(wrong.wanted, { ofRange: 0.01 });
  });

  it.each([true, false])("keys and values rounded before, together: %s", async (together) => {
    const of = { heads: 2, headSize: 32, groups: 2, groupRows: 5 };
    const options = { heads: of.heads, headSize: of.headSize, together, halves: true, tiles: one };
    const answer = await runTileAttention(
      await device(),
      tileAttentionMatrix(options, emulatedFragments),
      tileAttentionMatrixWorkgroups(options, of),
      of,
      {
        together,
        status: true,
        rounding: {
          kernel: tileHalves(options),
          workgroups: tileHalvesWorkgroups(options, 10),
          bytes: tileHalvesBytes(options, 10),
        },
      },
    );
    check(answer, rounded);
  });

  it("over pages, to f16", async () => {
    const of: PagedCase = { ...prefills[1], headSize: 32, lengths: [7, 40], fresh: [1, 33] };
    const options = { ...optionsOf(of), result: "f16", tiles: one } as const;
    const kernel = pagedPrefillMatrix(options, emulatedFragments);
    const workgroups = pagedPrefillMatrixWorkgroups(options, { rows: 34, sequences: 2 });
    const run = async (code = kernel.code) =>
      runPagedAttention(await device(), { ...kernel, code }, workgroups, of, {
        status: true,
        halfOutput: true,
      });
    const answer = await run();
    check(answer, rounded);
    expect(answer.status).toBe(0);
    const beyond = kernel.code.replace("written(value)", "written(1e7 * value)");
    expect(beyond).not.toBe(kernel.code);
    expect((await run(beyond)).status).toBe(1);
  });

  it("over pages", async () => {
    const of: PagedCase = { ...prefills[1], headSize: 32, lengths: [33, 7, 90, 1], fresh: [33, 2, 41, 1] };
    const options = { ...optionsOf(of), tiles: one };
    const kernel = pagedPrefillMatrix(options, emulatedFragments);
    const workgroups = pagedPrefillMatrixWorkgroups(options, { rows: 77, sequences: 4 });
    const answer = await runPagedAttention(await device(), kernel, workgroups, of, { status: true });
    check(answer, rounded);
    expect(answer.status).toBe(0);
    // A maximum that is never brought in line is found out.
    const code = kernel.code.replace(
      "workgroupUniformLoad(&lagging) != 0u",
      "workgroupUniformLoad(&lagging) > 9u",
    );
    expect(code).not.toBe(kernel.code);
    const wrong = await runPagedAttention(await device(), { ...kernel, code }, workgroups, of, {
      status: true,
    });
    expect(wrong.got).not.toBeAllclose(wrong.wanted, { ofRange: 0.01 });
  });
});
