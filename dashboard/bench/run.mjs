// Measures the dashboard: `make bench-dashboard`, or `npm run bench -- sizes`. Vite reads the TypeScript.
import { join } from "node:path";
import { runnerImport } from "vite";

const { module } = await runnerImport(join(import.meta.dirname, "main.ts"), { configFile: false, logLevel: "error" });
await module.main(process.argv.slice(2));
// The browser that the figures share ends with us.
process.exit();
