import { MediaError } from "../errors.ts";

/**
 * Registers the decoders of `@mediabunny/server`, if the user has installed that package. Returns whether it is there.
 *
 * @throws MediaError when it is installed and cannot be loaded.
 */
export async function registerServerDecoders(): Promise<boolean> {
  // In a variable: the package is the user's choice, and neither the compiler nor a bundler must look for it.
  const packageName = "@mediabunny/server";
  try {
    const { registerMediabunnyServer } = await import(/* @vite-ignore */ packageName);
    registerMediabunnyServer({ hardwareContext: null });
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_MODULE_NOT_FOUND" && message.includes(packageName)) return false;
    throw new MediaError(packageName, `is installed and cannot be loaded: ${message}`, { cause: error });
  }
}
