import { existsSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Software adapters for *.gpu.test.ts, where they are: .ci/software-adapters brings lavapipe, Chromium has SwiftShader.
// The Vulkan loader reads this when a worker first asks for an adapter.
const drivers = [
  fileURLToPath(new URL("build/vulkan/lvp.json", import.meta.url)),
  "/usr/lib/chromium/vk_swiftshader_icd.json",
].filter((file) => existsSync(file));
process.env.VK_ADD_DRIVER_FILES ??= drivers.join(delimiter);

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    // The tests are compute: more workers than cores only make each other wait.
    pool: "threads",
  },
});
