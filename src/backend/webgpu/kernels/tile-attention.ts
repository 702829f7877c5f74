import type { KernelBinding } from "../kernel.ts";
import { outputArray, type ResultType } from "./half-output.ts";

/**
 * The bindings of every kernel of tile attention, in this order: query, key and value `[G * groupRows, …]` f32 (one
 * binding `query` when all three are columns of one storage: WebGPU forbids to bind overlapping ranges twice), output
 * `[G * groupRows, heads * headSize]` f32 or f16, status where there is one, and `sizes`. With `halves`, keys and values of
 * f16 `[G * groupRows, 2 * heads * headSize]` stand in for key and value.
 */
export function tileBindings(together: boolean, status: boolean, halves = false, result: ResultType = "f32") {
  const tensors = together || halves ? ["query"] : ["query", "key", "value"];
  const kinds: KernelBinding[] = [];
  const text: string[] = [];
  const bind = (kind: KernelBinding, declaration: string) => {
    const space = kind === "uniform" ? "uniform" : "storage, read_write";
    text.push(`@group(0) @binding(${kinds.length}) var<${space}> ${declaration};`);
    kinds.push(kind);
  };
  for (const tensor of tensors) bind("write", `${tensor}: array<vec4f>`);
  if (halves) bind("write", "halves: array<vec4u>");
  bind("write", `output: ${outputArray(result)}`);
  if (status) bind("write", "status: array<atomic<u32>>");
  bind("uniform", "sizes: Sizes");
  return {
    kinds,
    names: { query: "query", key: together ? "query" : "key", value: together ? "query" : "value" },
    declarations: `struct Sizes { ${tileSizes.map((name) => `${name}: u32`).join(", ")} }\n${text.join("\n")}`,
  };
}

/** The words of the uniform, in order; strides and firsts in elements. */
export const tileSizes = [
  "groups",
  "groupRows",
  "queryStride",
  "queryFirst",
  "keyStride",
  "keyFirst",
  "valueStride",
  "valueFirst",
  "outputStride",
] as const;
