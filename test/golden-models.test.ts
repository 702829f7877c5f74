import { describeGolden } from "./support/golden-suite.ts";

// The checkpoint with tiles of full size, tiny-8b, has a file of its own: files run side by side.
for (const model of ["tiny-1b", "tiny-2b", "tiny-4b", "tiny-26b", "tiny-76b", "tiny-v1"])
  describeGolden(model);
