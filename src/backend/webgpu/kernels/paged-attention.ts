import type { KernelBinding } from "../kernel.ts";
import { outputArray, type ResultType } from "./half-output.ts";

/** The type that keys and values are kept in: f16, two a word, or f32. */
export type CacheType = "f16" | "f32";

/** The words of the uniform, in order; strides and firsts in elements. */
export const pagedSizes = [
  "rows",
  "sequences",
  "pagesPerSequence",
  "queryStride",
  "queryFirst",
  "outputStride",
  "splits",
] as const;

/** What follows them where `Rotary` is part of the kernel. */
export const turningSizes = ["key", "value", "angles", "slots"].flatMap((name) => [
  `${name}Stride`,
  `${name}First`,
]);

export const sizesStruct = (more: readonly string[] = []) =>
  `struct Sizes { ${[...pagedSizes, ...more].map((name) => `${name}: u32`).join(", ")} }`;

/**
 * The bindings of every kernel of paged attention, in this order: query `[N, …]` f32, keys and values
 * `[pages * pageSize, keyValueHeads * headSize]` of the cache's type, starts `[B + 1]`, lengths `[B]` and pages
 * `[B, pagesPerSequence]` u32, output `[N, heads * headSize]` f32 or f16, partial and status where there are any, and `sizes`. With `turning`, the query
 * is followed by key and value unless they are columns of the same matrix (`shared`), angles `[N, headSize]` f32 and
 * slots `[N]` u32, and keys and values are written.
 */
export function pagedBindings(
  cacheType: CacheType,
  {
    partial = false,
    status = false,
    result = "f32" as ResultType,
    turning,
  }: {
    partial?: boolean;
    status?: boolean;
    result?: ResultType;
    turning?: { readonly shared: boolean };
  } = {},
) {
  const kinds: KernelBinding[] = [];
  const text: string[] = [];
  const bind = (kind: KernelBinding, declaration: string) => {
    const spaces = { read: "storage, read", write: "storage, read_write", uniform: "uniform" };
    text.push(`@group(0) @binding(${kinds.length}) var<${spaces[kind]}> ${declaration};`);
    kinds.push(kind);
  };
  const cached = cacheType === "f16" ? "vec4u" : "vec4f";
  bind("write", "query: array<vec4f>");
  if (turning) {
    const inputs = turning.shared ? ["angles"] : ["key", "value", "angles"];
    for (const name of inputs) bind("write", `${name}: array<vec4f>`);
    bind("write", "slots: array<u32>");
  }
  for (const name of ["keys", "values"]) bind(turning ? "write" : "read", `${name}: array<${cached}>`);
  for (const name of ["starts", "lengths", "pages"]) bind("write", `${name}: array<u32>`);
  bind("write", `output: ${outputArray(result)}`);
  if (partial) bind("write", "partial: array<vec4f>");
  if (status) bind("write", "status: array<atomic<u32>>");
  bind("uniform", "sizes: Sizes");
  return {
    kinds,
    declarations: `${sizesStruct(turning ? turningSizes : [])}\n${text.join("\n")}`,
  };
}
