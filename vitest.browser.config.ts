import { defineConfig } from "vitest/config";

// What runs in a real browser: `npm run test:browser`. Needs Debian's chromium, or CHROMIUM with the path of another.
export default defineConfig({
  test: {
    include: ["web/**/*.spec.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Each file has a browser of its own: one after the other.
    fileParallelism: false,
  },
});
