// Writes each file of dist/ a second time, compressed: the program holds these, and sends them as they are.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { runnerImport } from "vite";

const dist = join(import.meta.dirname, "../dist");
// What belongs to what is for us only.
const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8"));
rmSync(join(dist, ".vite"), { recursive: true });

const packed = new Map();
let before = 0;
let after = 0;
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!statSync(path).isFile() || path.endsWith(".gz")) continue;
  const bytes = readFileSync(path);
  packed.set(name, gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }));
  before += bytes.length;
  after += packed.get(name).length;
}

// Before anything is written: what is too large is not to be taken for built.
const path = join(import.meta.dirname, "first-load.ts");
const { module } = await runnerImport(path, { configFile: false, logLevel: "error" });
let first = "";
try {
  first = module.check(manifest, (file) => packed.get(file).length);
} catch (error) {
  process.stderr.write(`dashboard: ${error.message}\n`);
  process.exit(1);
}
for (const [name, bytes] of packed) writeFileSync(join(dist, `${name}.gz`), bytes);
const KiB = (bytes) => `${Math.round(bytes / 1024)} KiB`;
process.stdout.write(`dashboard: ${KiB(before)}, ${KiB(after)} compressed; the first page takes ${first}\n`);
