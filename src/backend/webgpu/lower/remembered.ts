import type { Kernel } from "../kernel.ts";

/** The same factory, which writes the code for the same options once: a model asks for few kernels again and again. */
export function remembered<Options>(factory: (options: Options) => Kernel): (options: Options) => Kernel {
  const made = new Map<string, Kernel>();
  return (options) => {
    const key = JSON.stringify(options);
    let kernel = made.get(key);
    if (!kernel) {
      kernel = factory(options);
      made.set(key, kernel);
    }
    return kernel;
  };
}
