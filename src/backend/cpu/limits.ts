/** Kinds of numbers that products are made of. */
export type ProductKind = "f32" | "bf16" | "int8";

/** Measures what a machine can do at most. Each measurement takes well under a second, off the event loop. */
export interface LimitsProbe {
  /** Bytes a second that all lanes read of a buffer of so many bytes. 0 when there is no memory for it. */
  readRate(bytes: number): Promise<number>;
  /**
   * Multiplications and additions a second, of all lanes, with everything in registers. 0 where the machine's variant
   * has no instruction for that kind of numbers.
   */
  productRate(kind: ProductKind): Promise<number>;
}
