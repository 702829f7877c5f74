/**
 * The safetensors container: a u64 length N, N bytes of JSON, then the tensors' bytes.
 * What is checked is what the format's reference implementation checks (`Metadata::validate` in safetensors' tensor.rs).
 */

import { CheckpointError } from "../errors.ts";
import type { CheckpointFiles } from "./files.ts";
import type { TensorInfo } from "./tensor-store.ts";

/** A tensor of any number format, readable here or not. */
export interface StoredTensor extends Omit<TensorInfo, "dtype"> {
  dtype: string;
}

/** The format's own limit. */
const LARGEST_HEADER = 100_000_000;

/** Bits of one value of every number format that the container knows. */
const BITS: Readonly<Record<string, number>> = {
  ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6 },
  ...{ BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8 },
  ...{ I16: 16, U16: 16, F16: 16, BF16: 16 },
  ...{ I32: 32, U32: 32, F32: 32 },
  ...{ I64: 64, U64: 64, F64: 64, C64: 64 },
};

/**
 * Reads the table of a safetensors file: tensor name to where it lies.
 * @throws CheckpointError naming the file, and the tensor where one is to blame.
 */
export async function readHeader(files: CheckpointFiles, file: string): Promise<Map<string, StoredTensor>> {
  const size = await files.size(file);
  if (size < 8)
    throw new CheckpointError(file, `has ${size} bytes, and a safetensors file has at least 8; ${AGAIN}`);
  const first = await files.read(file, 0, 8);
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length > LARGEST_HEADER) {
    throw new CheckpointError(
      file,
      `says its header has ${length} bytes, and ${LARGEST_HEADER} are allowed; it may be no safetensors file`,
    );
  }
  const end = 8 + Number(length);
  if (end > size)
    throw new CheckpointError(file, `its header ends at byte ${end}, the file at ${size}; ${AGAIN}`);
  return parseHeader(await files.read(file, 8, end), size, file);
}

const AGAIN = "it may have been cut short: download it again";

/**
 * Reads the JSON of a header.
 * @param header The JSON, without the length before it.
 * @param fileSize Bytes of the whole file.
 * @throws CheckpointError
 */
export function parseHeader(header: Uint8Array, fileSize: number, file: string): Map<string, StoredTensor> {
  const dataStart = 8 + header.length;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(parseJson(header, file))) {
    if (name === "__metadata__") checkMetadata(entry, file);
    else tensors.set(name, parseTensor(name, entry, dataStart, file));
  }
  checkCoverage([...tensors.values()], dataStart, fileSize, file);
  return tensors;
}

function parseJson(header: Uint8Array, file: string): object {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (cause) {
    throw new CheckpointError(file, `its header is not JSON (${(cause as Error).message})`, undefined, {
      cause,
    });
  }
  if (!isObject(json)) throw new CheckpointError(file, "its header is not a JSON object");
  return json;
}

function checkMetadata(entry: unknown, file: string): void {
  if (!isObject(entry) || Object.values(entry).some((value) => typeof value !== "string"))
    throw new CheckpointError(file, "has to be an object of strings", "__metadata__");
}

function parseTensor(name: string, entry: unknown, dataStart: number, file: string): StoredTensor {
  const wrong = (problem: string) => new CheckpointError(file, problem, name);
  if (!isObject(entry)) throw wrong("has to be an object with dtype, shape and data_offsets");
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(BITS, dtype))
    throw wrong(`its dtype is none of ${Object.keys(BITS).join(", ")}`);
  if (!isSizes(shape)) throw wrong("its shape has to be a list of whole numbers from 0 on");
  if (!isSizes(offsets) || offsets.length !== 2)
    throw wrong("its data_offsets have to be two whole numbers from 0 on");
  const [from, to] = offsets;
  const values = shape.reduce((product, size) => product * size, 1);
  const bytes = (values * BITS[dtype]) / 8;
  if (!Number.isSafeInteger(values) || !Number.isSafeInteger(bytes) || to - from !== bytes)
    throw wrong(`${dtype} [${shape.join(", ")}] takes ${bytes} bytes, its data_offsets hold ${to - from}`);
  return { name, dtype, shape, file, start: dataStart + from, end: dataStart + to };
}

/** Tensors lie end to end and fill the file. A key written twice is found here: the bytes of one are left over. */
function checkCoverage(tensors: StoredTensor[], dataStart: number, fileSize: number, file: string): void {
  tensors.sort((a, b) => a.start - b.start || a.end - b.end);
  let reached = dataStart;
  for (const { name, start, end } of tensors) {
    if (start < reached)
      throw new CheckpointError(file, `starts at byte ${start}, inside another tensor`, name);
    if (start > reached)
      throw new CheckpointError(
        file,
        `starts at byte ${start}, and bytes from ${reached} on are no tensor's`,
        name,
      );
    if (end > fileSize)
      throw new CheckpointError(file, `ends at byte ${end}, the file at ${fileSize}; ${AGAIN}`, name);
    reached = end;
  }
  if (reached !== fileSize)
    throw new CheckpointError(file, `its tensors end at byte ${reached}, the file at ${fileSize}`);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
