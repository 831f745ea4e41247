import { defineConfig } from "vitest/config";

// What a browser does with a real server. `npm run screenshots` is the same with another list of files.
export default defineConfig(({ mode }) => ({
  test: {
    include: [mode === "screenshots" ? "tests/**/*.shots.ts" : "tests/**/*.test.ts"],
    pool: "forks",
    maxWorkers: Number(process.env.BROWSERS ?? 2),
    // Nothing is measured: a busy machine only makes it longer.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
}));
