import { gatedMatmul, matmul } from "../../src/backend/reference/matmul.ts";
import type { Matrix } from "../../src/backend/reference/matrix.ts";
import { rmsNorm } from "../../src/backend/reference/norms.ts";
import { ReferenceWeight } from "../../src/backend/reference/weights.ts";
import type { WebGpuDevice } from "../../src/backend/webgpu/device.ts";
import type { Kernel, Workgroups } from "../../src/backend/webgpu/kernel.ts";
import type { ProductOptions } from "../../src/backend/webgpu/kernels/product.ts";
import { Pipelines } from "../../src/backend/webgpu/pipelines.ts";
import { widen } from "../../src/checkpoint/dtypes.ts";
import { fakeStore } from "./fake-store.ts";
import { matrix, randomMatrix, randomNumbers, valuesOf, weightOf, widened, zeros } from "./matrices.ts";
import { halfBits, packWeight, roundToHalf } from "./packed-weights.ts";

/** Bytes or words of a binding. */
type Data = Uint8Array | Uint32Array | Float32Array;

const usage = { storage: 0x80, uniform: 0x40, copyTarget: 8, copySource: 4, mapRead: 1 };

/** Runs a kernel once; answers what its "write" bindings hold then, in order. */
export async function runKernel(
  device: WebGpuDevice,
  kernel: Kernel,
  bindings: readonly Data[],
  workgroups: Workgroups,
): Promise<ArrayBuffer[]> {
  const { gpu } = device;
  const { pipeline, layout } = await new Pipelines(device).get(kernel);
  const buffers = bindings.map((data, i) => {
    const kind = kernel.bindings[i] === "uniform" ? usage.uniform : usage.storage;
    const size = Math.ceil(data.byteLength / 256) * 256;
    const buffer = gpu.createBuffer({ size, usage: kind | usage.copyTarget | usage.copySource });
    const bytes = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    gpu.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  });
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ layout, entries }));
  pass.dispatchWorkgroups(...workgroups);
  pass.end();
  const written = buffers.filter((_, i) => kernel.bindings[i] === "write");
  const copies = written.map((buffer) => {
    const copy = gpu.createBuffer({ size: buffer.size, usage: usage.mapRead | usage.copyTarget });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    return copy;
  });
  gpu.queue.submit([encoder.finish()]);
  const answers: ArrayBuffer[] = [];
  for (const copy of copies) {
    await copy.mapAsync(usage.mapRead);
    answers.push(copy.getMappedRange().slice(0));
    copy.destroy();
  }
  for (const buffer of buffers) buffer.destroy();
  device.check();
  return answers;
}

export interface ProductCase {
  readonly options: ProductOptions & { readonly normalise?: { readonly epsilon: number } };
  readonly rows: number;
  /** The input is f16 in memory. */
  readonly halfInput?: boolean;
  /** The kernel has a status word. */
  readonly status?: boolean;
  /** The kernel rounds its input to f16. */
  readonly halves?: boolean;
  /** The kernel rounds 32 columns of its input at a time to 8 bits. */
  readonly eightBits?: boolean;
  /** The kernel reads and writes four columns at once behind the product. */
  readonly wide?: boolean;
  /** The output is f16 in memory. */
  readonly halfOutput?: boolean;
  /** Written over the input's first value. */
  readonly firstValue?: number;
  /** The weights that come next, for a kernel that looks their pages up. */
  readonly upcoming?: readonly Uint32Array[];
}

/** A product of random numbers by a kernel, and what the plain backend makes of the same numbers. */
export async function runProduct(
  device: WebGpuDevice,
  kernel: Kernel,
  workgroups: Workgroups,
  {
    options,
    rows,
    halfInput = false,
    status = false,
    halves = halfInput,
    eightBits = false,
    wide = false,
    halfOutput = false,
    firstValue,
    upcoming,
  }: ProductCase,
) {
  const { columns, outputs, format, epilogue = {}, gated = false, normalise } = options;
  const names = gated ? ["gate", "up"] : ["weight"];
  const weights = names.map((_, i) =>
    packWeight(
      randomNumbers(outputs * columns, 11 + i).map((x) => x / 8),
      outputs,
      columns,
      format,
    ),
  );
  const loaded = await Promise.all(
    weights.map(({ floats }) =>
      ReferenceWeight.load(weightOf("w", outputs, columns, floats), fakeStore(new Map())),
    ),
  );
  const left = 8;
  const input = widened(randomMatrix(rows, columns, 3), left, 16 - (columns % 8));
  if (firstValue !== undefined) input.data[input.start] = firstValue;
  const norm = randomNumbers(columns, 21);
  const bias = randomNumbers(outputs, 22);
  const scale = randomNumbers(outputs, 23);
  const residual = widened(randomMatrix(rows, outputs, 24), 4, wide ? 8 : 5);
  const table = randomMatrix(3, outputs, 25);

  let operand: Matrix = matrix(rows, columns, Float32Array.from(valuesOf(input)));
  if (normalise) {
    const normed = zeros(rows, columns);
    rmsNorm(operand, norm, normalise.epsilon, normed);
    operand = normed;
  }
  if (halves) operand = matrix(rows, columns, Float32Array.from(operand.data, roundToHalf));
  if (eightBits) operand = matrix(rows, columns, toEightBits(operand.data, columns));
  const wanted = zeros(rows, outputs);
  if (gated) gatedMatmul(operand, loaded[0], loaded[1], wanted, "f32");
  else {
    const parts = {
      ...(epilogue.bias && { bias }),
      ...(epilogue.activation && { activation: epilogue.activation }),
      ...(epilogue.scale && { scale }),
      ...(epilogue.residual && { residual }),
      ...(epilogue.table && { table }),
    };
    matmul(operand, loaded[0], parts, wanted, "f32");
  }

  const output = wide ? widened(zeros(rows, outputs), 8, 4) : widened(zeros(rows, outputs), 6, 3);
  output.data.fill(Number.NaN);
  const inputData: Data = halfInput ? asHalves(input.data) : input.data;
  const sizes = [rows, input.stride, input.start, output.stride, output.start];
  const answers = await runKernel(
    device,
    kernel,
    [
      inputData,
      ...weights.map(({ bytes }) => bytes),
      ...weights.flatMap(({ scales }) => (scales ? [scales] : [])),
      ...(normalise ? [norm] : []),
      ...(epilogue.bias ? [bias] : []),
      ...(epilogue.scale ? [scale] : []),
      ...(epilogue.residual ? [residual.data] : []),
      ...(epilogue.table ? [table.data] : []),
      halfOutput ? asHalves(output.data) : output.data,
      ...(status ? [new Uint32Array(1)] : []),
      ...(upcoming ? [...upcoming, new Uint32Array(workgroups[0] * workgroups[1])] : []),
      Uint32Array.from([...sizes, residual.stride, residual.start, table.rows, 0, columns, outputs]),
    ],
    workgroups,
  );
  const lookedUp = upcoming && new Uint32Array(answers.pop()!);
  const written = new Uint8Array(answers[answers.length - (status ? 2 : 1)]);
  const answer = widen(halfOutput ? "F16" : "F32", written);
  const got = valuesOf({ ...output, data: answer });
  return {
    got,
    wanted: valuesOf(wanted),
    /** Numbers written beside the output's columns. */
    strays: answer.slice(0, output.data.length).filter((x) => !Number.isNaN(x)).length - got.length,
    lookedUp,
    status: status ? new Uint32Array(answers[answers.length - 1])[0] : 0,
  };
}

/** Rows of `columns` values, 32 at a time with one scale, rounded to -127 to 127 times that. */
function toEightBits(values: Float32Array, columns: number): Float32Array {
  const rounded = new Float32Array(values.length);
  for (let row = 0; row < values.length; row += columns) {
    for (let first = 0; first < columns; first += 32) {
      const end = row + Math.min(first + 32, columns);
      const most = values.slice(row + first, end).reduce((all, x) => Math.max(all, Math.abs(x)), 0);
      const inverse = most > 0 ? Math.fround(127 / most) : 0;
      for (let i = row + first; i < end; i++) {
        rounded[i] = Math.round(Math.fround(values[i] * inverse)) * Math.fround(most / 127);
      }
    }
  }
  return rounded;
}

export function asHalves(values: Float32Array): Uint8Array {
  return new Uint8Array(Uint16Array.from(values, (x) => (Number.isNaN(x) ? 0x7e00 : halfBits(x))).buffer);
}
