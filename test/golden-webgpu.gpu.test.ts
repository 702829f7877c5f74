import { describe } from "vitest";
import { presentAdapters, settingsFor } from "./support/adapters.ts";
import { describeGolden } from "./support/golden-suite.ts";

describe.each(await presentAdapters("SwiftShader", "lavapipe"))("%s", (adapter) => {
  const prepare = () => {
    process.env.INTERNVL_WEBGPU = settingsFor(adapter);
  };
  for (const model of (process.env.M ?? "tiny-2b").split(","))
    describeGolden(model, { device: "webgpu", prepare });
});
