import { fileURLToPath } from "node:url";

/** The name under which the model that comes with the package is loaded. */
export const builtInName = "demo";

/** What `internvl/demo` gives in Node, where the package lies in a folder; pages get the other file of this name. */
export const demo = builtInName;

/** The folder of the built-in model: small, trained on drawings, charts and printed text (its README says how well). */
export function builtInModel(): string {
  return fileURLToPath(new URL("../../models/demo", import.meta.url));
}
