import type { Graph } from "../graph/recorder.ts";
import type { Storage } from "../graph/tensor.ts";
import type { DeviceTensor, HostArray, Input, Outputs, Rows, Run } from "./backend.ts";
import { checkInputs, isOnDevice, isRows } from "./inputs.ts";

/** An output of a backend whose memory is the computer's: an array like any other, once its run is done. */
class HostTensor implements DeviceTensor {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: number;
  readonly values: Promise<Float32Array | Uint32Array>;

  constructor({ rows, columns }: Storage, values: Promise<Float32Array | Uint32Array>) {
    this.rows = rows;
    this.columns = columns;
    this.bytes = rows * columns * 4;
    this.values = values;
    values.catch(() => undefined); // whoever reads it is told
  }

  async read(): Promise<Float32Array | Uint32Array> {
    return (await this.values).slice();
  }

  hold(): void {}

  letGo(): void {}
}

/** `Program.start` by way of a run over arrays that gives all outputs back. */
export function startOnHost(
  graph: Graph,
  inputs: Readonly<Record<string, Input>>,
  run: (arrays: Readonly<Record<string, HostArray>>) => Promise<Outputs>,
): Run {
  const all = assembled(graph, inputs).then(run);
  const staying: Record<string, DeviceTensor> = {};
  for (const name of graph.staying) {
    const values = all.then((outputs) => outputs[name]);
    staying[name] = new HostTensor(graph.outputs.get(name)!.storage, values);
  }
  const outputs = all.then((outputs) =>
    Object.fromEntries(Object.entries(outputs).filter(([name]) => !graph.staying.has(name))),
  );
  return { outputs, staying };
}

/** Every input as one array. Rejects when they are not what the graph names. */
export async function assembled(
  graph: Graph,
  inputs: Readonly<Record<string, Input>>,
): Promise<Record<string, HostArray>> {
  checkInputs(graph, inputs);
  const arrays: Record<string, HostArray> = {};
  for (const [name, input] of Object.entries(inputs)) {
    arrays[name] = isRows(input) ? await joined(input, graph.inputs.get(name)!.storage) : input;
  }
  return arrays;
}

async function joined(pieces: readonly Rows[], { rows, columns, type }: Storage): Promise<HostArray> {
  const all = { f32: Float32Array, u32: Uint32Array, u8: Uint8Array }[type];
  const array = new all(rows * columns);
  let row = 0;
  for (const { of, first, count } of pieces) {
    const values = isOnDevice(of) ? await (of as HostTensor).values : of;
    array.set(values.subarray(first * columns, (first + count) * columns), row * columns);
    row += count;
  }
  return array;
}
