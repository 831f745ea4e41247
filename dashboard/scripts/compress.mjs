// Writes each file of dist/ a second time, compressed: the program holds these, and sends them as they are.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const dist = new URL("../dist", import.meta.url).pathname;
let before = 0;
let after = 0;
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!statSync(path).isFile() || path.endsWith(".gz")) continue;
  const bytes = readFileSync(path);
  const packed = gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION });
  writeFileSync(`${path}.gz`, packed);
  before += bytes.length;
  after += packed.length;
}
process.stdout.write(`dashboard: ${Math.round(before / 1024)} KiB, ${Math.round(after / 1024)} KiB compressed\n`);
