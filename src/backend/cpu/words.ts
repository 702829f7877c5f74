import type { Operation } from "../../graph/operations.ts";
import type { CacheLayout, Tensor, Weight } from "../../graph/tensor.ts";

/** `OPERATION_WORDS` of program.h. */
export const operationWords = 64;

/** The order of `kind` in program.h. */
const kinds: readonly Operation["kind"][] = [
  "embed",
  "scatterRows",
  "patches",
  "matmul",
  "gatedMatmul",
  "layerNorm",
  "rmsNorm",
  "rotary",
  "attention",
  "pagedAttention",
  "gatherRows",
  "pickTokens",
];

/** Where things lie in the machine's memory. */
export interface Places {
  /** The address of a tensor's storage. */
  storage(tensor: Tensor): bigint;
  /** The words of a weight in panels or rows: address, scales, rows, columns, format. */
  weight(weight: Weight): readonly bigint[];
  /** The address of a vector or table in f32. */
  vector(weight: Weight): bigint;
  /** The words of the key-value cache: address, layers, page size, heads, head size, bf16. */
  cache(layout: CacheLayout): readonly bigint[];
}

/** One operation as the words that program.h describes, in the order of its struct. */
export function wordsOf(operation: Operation, places: Places): bigint[] {
  const t = (tensor: Tensor | undefined): readonly bigint[] =>
    tensor
      ? [
          places.storage(tensor) + BigInt(tensor.firstColumn * (tensor.storage.type === "u8" ? 1 : 4)),
          BigInt(tensor.rows),
          BigInt(tensor.columns),
          BigInt(tensor.storage.columns),
        ]
      : [0n, 0n, 0n, 0n];
  const vector = (weight: Weight | undefined) => (weight ? places.vector(weight) : 0n);
  const table = (weight: Weight | undefined): readonly bigint[] =>
    weight
      ? [places.vector(weight), BigInt(weight.rows), BigInt(weight.columns), BigInt(weight.columns)]
      : [0n, 0n, 0n, 0n];
  const body = (): readonly (bigint | readonly bigint[])[] => {
    const o = operation;
    switch (o.kind) {
      case "embed":
        return [places.weight(o.table), t(o.ids), t(o.output)];
      case "scatterRows":
        return [t(o.target), t(o.source), t(o.rows)];
      case "patches":
        return [
          t(o.tiles),
          t(o.output),
          BigInt(o.tileSize),
          BigInt(o.patchSize),
          o.mean.map(bitsOf),
          o.deviation.map(bitsOf),
        ];
      case "matmul": {
        const gelu = o.activation === "gelu" ? 1n : 0n;
        const tensors = [t(o.input), t(o.residual), table(o.table), t(o.output)];
        return [...tensors, places.weight(o.weight), vector(o.bias), vector(o.scale), gelu];
      }
      case "gatedMatmul":
        return [t(o.input), t(o.output), places.weight(o.gate), places.weight(o.up)];
      case "layerNorm":
        return [t(o.input), t(o.output), vector(o.weight), vector(o.bias), bitsOf(o.epsilon)];
      case "rmsNorm":
        return [t(o.input), t(o.output), vector(o.weight), bitsOf(o.epsilon)];
      case "rotary": {
        const tensors = [o.query, o.key, o.value, o.angles, o.slots, o.output].map(t);
        return [...tensors, places.cache(o.cache), BigInt(o.layer), BigInt(o.heads)];
      }
      case "attention": {
        const tensors = [o.query, o.key, o.value, o.output].map(t);
        return [...tensors, BigInt(o.heads), BigInt(o.headSize), BigInt(o.groupRows)];
      }
      case "pagedAttention": {
        const tensors = [o.query, o.starts, o.lengths, o.pages, o.output].map(t);
        return [...tensors, places.cache(o.cache), BigInt(o.layer), BigInt(o.heads)];
      }
      case "gatherRows":
        return [t(o.input), t(o.rows), t(o.output)];
      case "pickTokens":
        return [o.logits, o.settings, o.penalised, o.suppressed, o.tokens, o.scores].map(t);
    }
  };
  return [BigInt(kinds.indexOf(operation.kind)), ...body().flat()];
}

/** The bits of a double, as `number` of program.h reads them. */
function bitsOf(value: number): bigint {
  return new BigInt64Array(Float64Array.of(value).buffer)[0];
}
