// Writes ONNX models with random weights: protobuf by hand (onnx.proto3), weights in a file beside it.
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { bits, normal, pieces } from "./random.mjs";

/** TensorProto.DataType */
export const types = { float: 1, uint8: 2, int8: 3, int32: 6, int64: 7 };

function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 128 : low);
  } while (rest > 0n);
  return Buffer.from(bytes);
}
const whole = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field, value) => {
  const content = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
};
const float = (field, value) =>
  Buffer.concat([varint(field * 8 + 5), Buffer.from(Float32Array.of(value).buffer)]);
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

/** A float attribute is given as `{ float }`, since 1 could be either. */
function attribute(name, value) {
  if (typeof value === "object") return message(5, bytes(1, name), float(2, value.float), whole(20, 1));
  return message(5, bytes(1, name), whole(3, value), whole(20, 2));
}

let pools;
function poolOf(kind) {
  pools ??= {
    float: Buffer.from(Float32Array.from({ length: 2 ** 21 }, () => normal() / 64).buffer),
    int8: Buffer.from(
      Int8Array.from({ length: 2 ** 22 }, () => Math.max(-127, Math.min(127, normal() * 40))).buffer,
    ),
    nibbles: Buffer.from(Uint8Array.from({ length: 2 ** 22 }, () => bits())),
  };
  return pools[kind];
}

/** A model being written. Operations return the name of what they make. */
export class OnnxFile {
  weightBytes = 0;
  #path;
  #data;
  #offset = 0;
  #nodes = [];
  #initializers = [];
  #inputs = [];
  #outputs = [];
  #count = 0;
  #constants = new Map();

  constructor(path) {
    this.#path = path;
    this.#data = openSync(`${path}.data`, "w");
  }

  input(name, type, shape) {
    this.#inputs.push(valueInfo(11, name, type, shape));
    return name;
  }

  output(name, type, shape) {
    this.#outputs.push(valueInfo(12, name, type, shape));
  }

  /** A small tensor, kept once. */
  constant(array, shape = [array.length]) {
    const type = { Float32Array: "float", Int8Array: "int8", BigInt64Array: "int64" }[array.constructor.name];
    const content = Buffer.from(array.buffer, array.byteOffset, array.byteLength);
    const key = `${type} ${shape} ${array.length > 64 ? this.#count++ : content.toString("hex")}`;
    if (!this.#constants.has(key)) {
      const name = `constant${this.#constants.size}`;
      this.#constants.set(key, name);
      const dimensions = shape.map((size) => whole(1, size));
      this.#initializers.push(
        message(5, ...dimensions, whole(2, types[type]), bytes(8, name), bytes(9, content)),
      );
    }
    return this.#constants.get(key);
  }

  /** Values 1, or another: norms, biases. */
  vector(size, value = 1) {
    return this.constant(new Float32Array(size).fill(value));
  }

  add(operation, inputs, { outputs = [`value${this.#count++}`], domain, ...attributes } = {}) {
    const parts = [...inputs.map((name) => bytes(1, name)), ...outputs.map((name) => bytes(2, name))];
    parts.push(bytes(3, `${operation}${this.#count++}`), bytes(4, operation));
    for (const [name, value] of Object.entries(attributes)) parts.push(attribute(name, value));
    if (domain) parts.push(bytes(7, domain));
    this.#nodes.push(message(1, ...parts));
    return outputs[0];
  }

  /** Columns `from` to `to` of the last axis. */
  slice(input, from, to, axis = 2) {
    const [a, b, c] = [from, to, axis].map((value) => this.constant(BigInt64Array.of(BigInt(value))));
    return this.add("Slice", [input, a, b, c]);
  }

  /**
   * A product with a random weight [rows, columns].
   * f32: MatMul. int8: what onnxruntime's dynamic quantiser writes, with signed weights and one scale a tensor.
   * int4: MatMulNBits, blocks of 32, accuracy level 4.
   */
  product(kind, input, rows, columns) {
    if (kind === "f32")
      return this.add("MatMul", [input, this.#weight("float", [rows, columns], rows * columns * 4)]);
    if (kind === "int4") {
      const blocks = rows / 32;
      const values = this.#weight("nibbles", [columns, blocks, 16], columns * blocks * 16);
      const scales = this.#weight("scale", [columns * blocks], columns * blocks * 4);
      const settings = {
        K: rows,
        N: columns,
        bits: 4,
        block_size: 32,
        accuracy_level: 4,
        domain: "com.microsoft",
      };
      return this.add("MatMulNBits", [input, values, scales], settings);
    }
    const weight = this.#weight("int8", [rows, columns], rows * columns);
    const [quantised, scale, zero] = ["values", "scale", "zero"].map((part) => `${part}${this.#count++}`);
    this.add("DynamicQuantizeLinear", [input], { outputs: [quantised, scale, zero] });
    const none = this.constant(Int8Array.of(0), []);
    const sums = this.add("Cast", [this.add("MatMulInteger", [quantised, weight, zero, none])], {
      to: types.float,
    });
    return this.add("Mul", [sums, this.add("Mul", [scale, this.constant(Float32Array.of(1 / 64 / 40))])]);
  }

  save() {
    closeSync(this.#data);
    const graph = [
      ...this.#nodes,
      bytes(2, "model"),
      ...this.#initializers,
      ...this.#inputs,
      ...this.#outputs,
    ];
    const opsets = [
      message(8, bytes(1, ""), whole(2, 17)),
      message(8, bytes(1, "com.microsoft"), whole(2, 1)),
    ];
    const model = [whole(1, 9), bytes(2, "internvl-peers"), message(7, ...graph), ...opsets];
    writeFileSync(this.#path, Buffer.concat(model));
  }

  #weight(kind, shape, count) {
    const name = `weight${this.#count++}`;
    const start = Math.ceil(this.#offset / 4096) * 4096;
    this.#write(Buffer.alloc(start - this.#offset));
    if (kind === "scale") this.#write(Buffer.from(new Float32Array(count / 4).fill(1 / 64 / 4.6).buffer));
    else for (const piece of pieces(poolOf(kind), count, 4)) this.#write(piece);
    this.weightBytes += count;
    const type = { float: types.float, int8: types.int8, nibbles: types.uint8, scale: types.float }[kind];
    const place = { location: `${basename(this.#path)}.data`, offset: start, length: count };
    const external = Object.entries(place).map(([key, value]) =>
      message(13, bytes(1, key), bytes(2, String(value))),
    );
    const dimensions = shape.map((size) => whole(1, size));
    this.#initializers.push(
      message(5, ...dimensions, whole(2, type), bytes(8, name), ...external, whole(14, 1)),
    );
    return name;
  }

  #write(content) {
    for (let done = 0; done < content.length; ) done += writeSync(this.#data, content, done);
    this.#offset += content.length;
  }
}

/** Dimensions that are texts are free. */
function valueInfo(field, name, type, shape) {
  const dimensions = shape.map((size) =>
    message(1, typeof size === "number" ? whole(1, size) : bytes(2, size)),
  );
  const tensor = message(1, whole(1, types[type]), message(2, ...dimensions));
  return message(field, bytes(1, name), message(2, tensor));
}
