import type { LimitsProbe, ProductKind } from "./limits.ts";

/** What this needs of a library that koffi loaded. */
interface LoadedLibrary {
  func(prototype: string): unknown;
}

type AsyncFunction<Arguments extends unknown[]> = {
  async(...args: [...Arguments, (error: Error | null, result: number) => void]): void;
};

/** The order of limits.c. */
const kinds: readonly ProductKind[] = ["f32", "bf16", "int8"];

/** The shared machine is not always quiet: the best of several short passes counts. */
const readPasses = 8;
const productPasses = 5;
const productSeconds = 0.04;

/** The functions of limits.c for one variant. */
export function openLimits(library: LoadedLibrary, variant: string, lanes: number): LimitsProbe {
  const readRate = library.func(
    `double internvl_read_rate_${variant}(int64_t, int, int)`,
  ) as unknown as AsyncFunction<[number, number, number]>;
  const productRate = library.func(
    `double internvl_product_rate_${variant}(int, int, double, int)`,
  ) as unknown as AsyncFunction<[number, number, number, number]>;
  const result = (begin: (done: (error: Error | null, result: number) => void) => void) =>
    new Promise<number>((resolve, reject) => {
      begin((error, value) => (error ? reject(error) : resolve(value)));
    });
  return {
    readRate: (bytes) => result((done) => readRate.async(bytes, lanes, readPasses, done)),
    productRate: (kind) =>
      result((done) => productRate.async(kinds.indexOf(kind), lanes, productSeconds, productPasses, done)),
  };
}
