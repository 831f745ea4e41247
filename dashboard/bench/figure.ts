import { execFileSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { join, resolve } from "node:path";

/** Prints figures with the circumstances that they belong to: the lines of `make bench` (bench/src/figure.rs). */
export class Reporter {
  readonly #circumstances: Record<string, string>;

  constructor() {
    process.env.ATTA ??= join(import.meta.dirname, "../../target/release/atta");
    const atta = resolve(process.env.ATTA);
    this.#circumstances = {
      machine: `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores`,
      version: execFileSync(atta, ["--version"], { encoding: "utf8" })
        .trim()
        .replace(/^atta /, ""),
      commit: execFileSync("git", ["rev-parse", "--short=12", "HEAD"], { encoding: "utf8" }).trim(),
      profile: atta.includes("/release/") ? "release" : "debug",
    };
  }

  figure(name: string, value: number, unit: string, more: { aim?: string; samples?: number } = {}): void {
    const line = { name, value: Math.round(value * 1000) / 1000, unit, ...more, ...this.#circumstances };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }

  /** What is going on. */
  say(text: string): void {
    process.stderr.write(`${text}\n`);
  }
}

/** The value below which `share` (0–1) of the samples lie. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const index = Math.max(0, Math.ceil(sorted.length * share) - 1);
  return sorted[Math.min(index, sorted.length - 1)] ?? Number.NaN;
}
