/** A page with nothing in it but the package: tests drive it from outside. */

import * as everything from "internvl";

declare global {
  /** The package, in pages of the tests. */
  var internvl: typeof everything;
  /** Models that a test has loaded, by name. */
  var models: Record<string, everything.InternVL>;
}

globalThis.internvl = everything;
globalThis.models = {};
