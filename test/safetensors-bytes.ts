/** Writes small safetensors files for tests. */

export interface RawTensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** A well-formed file: the tensors end to end in the order given, and whatever else the header shall hold. */
export function safetensorsBytes(
  tensors: Record<string, RawTensor>,
  more: object = {},
): Uint8Array<ArrayBuffer> {
  const header: [string, unknown][] = Object.entries(more);
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header.push([name, { dtype, shape, data_offsets: [end, end + bytes.length] }]);
    end += bytes.length;
  }
  return withHeader(
    JSON.stringify(Object.fromEntries(header)),
    Object.values(tensors).map(({ bytes }) => bytes),
  );
}

/** Any text as header, any bytes after it, and any length before it. */
export function withHeader(json: string, data: Uint8Array[] = [], length?: bigint): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + data.reduce((sum, part) => sum + part.length, 0));
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  let at = 8 + text.length;
  for (const part of data) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
