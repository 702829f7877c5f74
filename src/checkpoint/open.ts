/** A checkpoint's safetensors files as one table of tensors. */

import { CheckpointError, FileError, ShapeError } from "../errors.ts";
import { readJson } from "./checkpoint.ts";
import { DTYPE_BYTES, widen } from "./dtypes.ts";
import type { CheckpointFiles } from "./files.ts";
import { readHeader, type StoredTensor } from "./safetensors.ts";
import type { DType, TensorInfo, TensorStore } from "./tensor-store.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

export interface Checkpoint extends TensorStore {
  /** What to call the checkpoint in messages. */
  readonly label: string;
  /** Tensors of number formats that are not read here, by name: reading one throws. */
  readonly unreadable: ReadonlyMap<string, StoredTensor>;
}

/**
 * Opens `model.safetensors`, or else the shards that `model.safetensors.index.json` names. Only headers are read.
 * The index and the shards have to agree: a shard or tensor that the index promises and is not there is an error, and
 * so is a tensor that it does not list. `total_size` is not looked at. Closing the checkpoint closes `files`; when
 * opening fails they stay open.
 *
 * @throws FileError when there are no such files, or a shard is missing; CheckpointError when one breaks its format.
 */
export async function openCheckpoint(files: CheckpointFiles): Promise<Checkpoint> {
  const stored = (await files.has(SINGLE)) ? await readHeader(files, SINGLE) : await readShards(files);
  const tensors = new Map<string, TensorInfo>();
  const unreadable = new Map<string, StoredTensor>();
  for (const [name, tensor] of stored) {
    if (isReadable(tensor)) tensors.set(name, tensor);
    else unreadable.set(name, tensor);
  }

  function find(name: string): TensorInfo {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    const other = unreadable.get(name);
    if (!other) throw new CheckpointError(files.label, "there is no such tensor", name);
    throw new CheckpointError(other.file, `is stored as ${other.dtype}; BF16, F16 and F32 can be read`, name);
  }

  async function readRows(name: string, firstRow: number, rows: number): Promise<Uint8Array> {
    const { file, start, dtype, shape } = find(name);
    const count = shape[0] ?? 1;
    const whole = Number.isSafeInteger(firstRow) && Number.isSafeInteger(rows);
    if (!whole || firstRow < 0 || rows < 0 || firstRow + rows > count)
      throw new ShapeError(`${name}: rows ${firstRow} to ${firstRow + rows} do not lie in its ${count} rows`);
    const rowBytes = shape.slice(1).reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
    return await files.read(file, start + firstRow * rowBytes, start + (firstRow + rows) * rowBytes);
  }

  return {
    label: files.label,
    tensors,
    unreadable,
    readRows,
    async readFloats(name) {
      const { dtype, shape } = find(name);
      return widen(dtype, await readRows(name, 0, shape[0] ?? 1));
    },
    close: () => files.close(),
  };
}

function isReadable(tensor: StoredTensor): tensor is TensorInfo {
  return Object.hasOwn(DTYPE_BYTES, tensor.dtype as DType);
}

async function readShards(files: CheckpointFiles): Promise<Map<string, StoredTensor>> {
  if (!(await files.has(INDEX))) {
    throw new FileError(
      files.label,
      `holds neither ${SINGLE} nor ${INDEX}; give the checkpoint as published (pytorch_model.bin files are not read)`,
    );
  }
  const weightMap = parseIndex(await readJson(files, INDEX));
  const shards = [...new Set(weightMap.values())];
  const missing: string[] = [];
  for (const shard of shards) if (!(await files.has(shard))) missing.push(shard);
  if (missing.length > 0) {
    throw new FileError(
      files.label,
      `${missing.join(", ")} missing, of the ${shards.length} shards in ${INDEX}; download the checkpoint again`,
    );
  }

  const stored = new Map<string, StoredTensor>();
  for (const shard of shards) {
    for (const [name, tensor] of await readHeader(files, shard)) {
      const promised = weightMap.get(name);
      if (promised === undefined) throw new CheckpointError(shard, `is not listed in ${INDEX}`, name);
      if (promised !== shard)
        throw new CheckpointError(shard, `lies here, and ${INDEX} says in ${promised}`, name);
      stored.set(name, tensor);
    }
  }
  for (const [name, shard] of weightMap)
    if (!stored.has(name))
      throw new CheckpointError(shard, `is not in this file, and ${INDEX} says it is`, name);
  return stored;
}

/** `weight_map`: tensor name to shard. Shards lie beside the index: a name with a folder in it is refused. */
function parseIndex(json: unknown): Map<string, string> {
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map))
    throw new CheckpointError(INDEX, "has to be an object of tensor names and files", "weight_map");
  const entries = Object.entries(map as Record<string, unknown>);
  if (entries.length === 0) throw new CheckpointError(INDEX, "lists no tensor", "weight_map");
  return new Map(
    entries.map(([name, shard]) => {
      if (typeof shard !== "string" || !/^[^/\\:\0]+\.safetensors$/.test(shard))
        throw new CheckpointError(
          INDEX,
          `${JSON.stringify(shard)} is not the name of a safetensors file`,
          name,
        );
      return [name, shard];
    }),
  );
}
