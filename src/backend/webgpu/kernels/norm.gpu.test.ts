import { afterAll, describe, expect, it } from "vitest";
import { openAdapter, presentAdapters } from "../../../../test/support/adapters.ts";
import { matrix, randomNumbers, valuesOf, widened, zeros } from "../../../../test/support/matrices.ts";
import { asHalves, runKernel } from "../../../../test/support/run-product.ts";
import { layerNorm, rmsNorm } from "../../reference/norms.ts";
import "../../../../test/support/to-be-allclose.ts";
import { widen } from "../../../checkpoint/dtypes.ts";
import type { WebGpuDevice } from "../device.ts";
import { type NormOptions, normKernel, normWorkgroups } from "./norm.wgsl.ts";

interface NormCase extends Omit<NormOptions, "epsilon" | "wide"> {
  readonly rows: number;
  /** Added to every input. */
  readonly shift?: number;
  readonly firstWeight?: number;
}

const epsilon = 1e-6;

/** Its adapters' subgroups are of 8 and of 4. Rows that leave invocations without columns, and many columns for each. */
const cases: NormCase[] = (["layerNorm", "rmsNorm"] as const).flatMap((kind) => [
  { kind, rows: 1, columns: 72, threads: 32, lanes: 4, result: "f32" },
  { kind, rows: 7, columns: 100, threads: 32, lanes: 1, result: "f16" },
  { kind, rows: 33, columns: 1024, threads: 64, lanes: 2, result: "f16" },
  { kind, rows: 33, columns: 1000, threads: 64, lanes: 1, result: "f32" },
  { kind, rows: 7, columns: 4096, threads: 256, lanes: 4, result: "f32" },
  { kind, rows: 7, columns: 4096, threads: 256, lanes: 1, result: "f16" },
  { kind, rows: 7, columns: 64, threads: 4, lanes: 4, result: "f32" },
]);

async function run(
  device: WebGpuDevice,
  { rows, shift = 0, firstWeight, ...options }: NormCase,
  change?: [string, string],
) {
  const { kind, columns, result } = options;
  const kernel = normKernel({ ...options, epsilon, wide: true });
  const code = change ? kernel.code.replace(...change) : kernel.code;
  if (change) expect(code).not.toBe(kernel.code);
  const input = matrix(
    rows,
    columns,
    randomNumbers(rows * columns, columns).map((x) => x + shift),
  );
  const [weight, bias] = [randomNumbers(columns, 5), randomNumbers(columns, 6)];
  if (firstWeight !== undefined) weight[0] = firstWeight;
  const wanted = zeros(rows, columns);
  if (kind === "layerNorm") layerNorm(input, weight, bias, epsilon, wanted);
  else rmsNorm(input, weight, epsilon, wanted);
  const read = widened(input, 8, 4);
  const output = widened(zeros(rows, columns), 4, 12);
  output.data.fill(Number.NaN);
  const half = result === "f16";
  const answers = await runKernel(
    device,
    { ...kernel, code },
    [
      read.data,
      weight,
      ...(kind === "layerNorm" ? [bias] : []),
      half ? asHalves(output.data) : output.data,
      ...(half ? [new Uint32Array(1)] : []),
      Uint32Array.of(rows, read.stride, read.start, output.stride, output.start),
    ],
    // One more than there are rows, as folding may give.
    normWorkgroups(rows + 1),
  );
  const data = widen(half ? "F16" : "F32", new Uint8Array(answers[1])).slice(0, output.data.length);
  const got = valuesOf({ ...output, data });
  return {
    got,
    wanted: valuesOf(wanted),
    strays: data.filter((x) => !Number.isNaN(x)).length - got.length,
    status: half ? new Uint32Array(answers[2])[0] : 0,
  };
}

describe.each(await presentAdapters("lavapipe", "SwiftShader"))("wide norms on %s", (adapter) => {
  let opened: Promise<WebGpuDevice> | undefined;
  const device = () => {
    opened ??= openAdapter(adapter);
    return opened;
  };
  afterAll(async () => (await opened)?.destroy());
  const tolerance = ({ result }: NormCase) => ({ ofRange: result === "f16" ? 5e-4 : 2e-6 });

  it.each(cases.map((of) => [JSON.stringify(of), of] as const))("%s", async (_, of) => {
    const { got, wanted, strays, status } = await run(await device(), of);
    expect(got).toBeAllclose(wanted, tolerance(of));
    expect(strays).toBe(0);
    expect(status).toBe(0);
  });

  it("of rows whose mean is far from zero", async () => {
    for (const of of cases.filter(({ kind }) => kind === "layerNorm")) {
      const { got, wanted } = await run(await device(), { ...of, shift: 1000 });
      expect(got).toBeAllclose(wanted, tolerance(of));
    }
  });

  it("say when an output does not fit f16", async () => {
    for (const of of cases.filter(({ result }) => result === "f16")) {
      expect((await run(await device(), { ...of, firstWeight: 5e3 })).status).toBe(0);
      const { got, status } = await run(await device(), { ...of, firstWeight: -1e7 });
      expect(status).toBe(1);
      expect(got.filter((x) => Math.abs(x) < 100).length).toBeGreaterThan(got.length / 2);
    }
  });

  it("are found out when a sum leaves out a part, or an invocation without columns counts", async () => {
    const rms = cases.find(({ kind, columns }) => kind === "rmsNorm" && columns === 100)!;
    const whole = await run(await device(), rms, ["i < 8u", "i < 4u"]);
    expect(whole.got).not.toBeAllclose(whole.wanted, { ofRange: 0.01 });
    const counting = await run(await device(), { ...cases[1], shift: 1 }, [
      "x0 = select(vec4f(0.0), x0 - mean, lane + 0u < 25u)",
      "x0 -= mean",
    ]);
    expect(counting.got).not.toBeAllclose(counting.wanted, { ofRange: 0.01 });
  });
});
