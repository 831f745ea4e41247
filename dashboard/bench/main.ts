import { parseArgs } from "node:util";
import { changes } from "./changes";
import { Reporter } from "./figure";
import { memory } from "./memory";
import { sizes } from "./sizes";

const usage = `Measures the dashboard; one JSON line per figure on stdout.

  npm run bench -- [sizes] [changes] [memory]     those named, else all

  --changes N   state changes that are timed on each page (200)
  --jobs N      jobs of the simulated hour (1800: one every two seconds)

$ATTA is the program (../target/release/atta), $CHROMIUM the browser.`;

export async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { changes: { type: "string" }, jobs: { type: "string" }, help: { type: "boolean" } },
  });
  const unknown = positionals.filter((each) => !["sizes", "changes", "memory"].includes(each));
  if (values.help || unknown.length > 0) {
    process.stderr.write(`${unknown.map((each) => `there is no figure ${each}\n\n`).join("")}${usage}\n`);
    process.exit(values.help ? 0 : 2);
  }
  const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);
  const reporter = new Reporter();
  if (wanted("sizes")) await sizes(reporter);
  if (wanted("changes")) await changes(reporter, number(values.changes, 200));
  if (wanted("memory")) await memory(reporter, number(values.jobs, 1800));
}

function number(text: string | undefined, usual: number): number {
  const value = text === undefined ? usual : Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${text} is no count`);
  return value;
}
