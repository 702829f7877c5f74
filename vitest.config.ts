import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    // The tests are compute: more workers than cores only make each other wait.
    pool: "threads",
  },
});
