import { statSync } from "node:fs";
import { join } from "node:path";
import { kB, most, sum } from "../scripts/first-load";
import { World } from "../tests/harness/world";
import type { Reporter } from "./figure";

const dist = join(import.meta.dirname, "../dist");
/** As it is sent: `name` is its address. */
const size = (name: string) => statSync(join(dist, `${name}.gz`)).size;

/** What a browser fetches of us for the first page, and what it fetches in addition for the heavy parts. Compressed, as it is sent. */
export async function sizes(reporter: Reporter): Promise<void> {
  const world = await World.start();
  try {
    await world.api.install("job_type: small\ntasks:\n  - {task_type: one, script: [echo one]}\n");
    const { job_id: job } = await world.api.run("small");
    const first = await fetched(world, "/", "h1");
    reporter.figure("dashboard_first_load", sum(first, size) / kB, "kB", {
      aim: `<= ${most / kB} kB`,
    });
    const pages: [string, string, string][] = [
      ["graph", `/jobs/${job}`, ".react-flow__node"],
      ["editor", "/definitions/+new", ".cm-content"],
      ["terminal", `/jobs/${job}/attempts/1/terminal`, "h1"],
    ];
    for (const [name, path, shown] of pages) {
      const more = [...(await fetched(world, path, shown))].filter((each) => !first.has(each));
      reporter.figure(`dashboard_${name}_beyond_first_load`, sum(more, size) / kB, "kB");
    }
  } finally {
    await world.stop();
  }
}

/** The files that a browser without a cache fetches until this is shown and the network is quiet. */
async function fetched(world: World, path: string, shown: string): Promise<Set<string>> {
  const page = await world.open(path);
  await page.locator(shown).first().waitFor();
  const names = await page.evaluate(async () => {
    const list = () =>
      [document.location.href, ...performance.getEntriesByType("resource").map((each) => each.name)]
        .map((each) => new URL(each).pathname)
        .filter((each) => !each.startsWith("/api/"));
    // Quiet: a second in which nothing was asked for.
    for (let before = -1; before !== list().length; ) {
      before = list().length;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    return list();
  });
  await page.context().close();
  return new Set(names.map((each) => (/\.[a-z0-9]+$/.test(each) ? each : "/index.html")));
}
