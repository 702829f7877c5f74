/** What a kernel writes: f32, or f16, two a u32 with the first low, in a buffer of half as many bytes. */
export type ResultType = "f32" | "f16";

/** The type of an output that is written four columns at a time. */
export function outputArray(result: ResultType): string {
  return result === "f16" ? "array<vec2u>" : "array<vec4f>";
}

/** `written(value)`: four columns as the output holds them. One beyond f16 sets `status`, an atomic word. */
export function writtenFunction(result: ResultType, status: string): string {
  if (result === "f32") return "fn written(value: vec4f) -> vec4f { return value; }";
  return `fn written(value: vec4f) -> vec2u {
  if (any(abs(value) > vec4f(65504.0))) { atomicStore(&${status}, 1u); }
  return vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
}`;
}
