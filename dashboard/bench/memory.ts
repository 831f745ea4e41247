import type { CDPSession, Page } from "playwright-core";
import { live } from "../tests/harness/checks";
import { World } from "../tests/harness/world";
import type { Reporter } from "./figure";

const busy = `
job_type: busy
description: "Something for acme/shop, see https://forge.example/acme/shop/issues/7"
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: plan, script: [echo planned], on_completed: work}
  - {task_type: work, script: [seq 20], on_completed: check}
  - {task_type: check, script: [echo checked]}
`;

/** A job that is watched for as long as the hour takes, and says something now and then. */
const long = `
job_type: long
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: talk
    environment: {GO: "{{ Go }}"}
    script: ['while [ ! -e "$GO" ]; do echo "a line of output at $(date)"; sleep 0.05; done']
`;

/** So many jobs are under way at once. */
const together = 8;

/** What a page holds after an hour of a busy server, whose jobs come as fast as it can run them instead. */
export async function memory(reporter: Reporter, jobs: number): Promise<void> {
  const world = await World.start(["--slots", String(together + 1)]);
  try {
    await world.api.install(busy, long);
    const go = `${world.server.directory}/go`;
    const watched = await world.api.submit("long", { Go: go });
    await world.api.run("busy");
    const pages: [string, Page][] = [
      ["now", await world.open("/")],
      ["jobs", await world.open("/jobs")],
      ["job", await world.open(`/jobs/${watched}?task=talk`)],
    ];
    const sessions = new Map<string, CDPSession>();
    for (const [name, page] of pages) {
      await live(page);
      sessions.set(name, await page.context().newCDPSession(page));
    }
    const held = async () => {
      const all = new Map<string, Held>();
      for (const [name, session] of sessions) all.set(name, await look(session));
      return all;
    };
    // What is made once, at first use, is not what grows.
    await run(world, Math.min(jobs, 40), () => undefined);
    const before = await held();
    const first = await events(world);
    const began = performance.now();
    await run(world, jobs, (done) => {
      if (done % 100 === 0) reporter.say(`memory: ${done} of ${jobs} jobs`);
    });
    const took = (performance.now() - began) / 1000;
    const count = (await events(world)) - first;
    for (const [, page] of pages) await live(page);
    const after = await held();
    await world.server.file("go", "");
    await world.api.ended(watched);
    reporter.figure("dashboard_memory_events", count, "events", { samples: jobs });
    reporter.figure("dashboard_memory_took", took, "s");
    for (const [name, start] of before) {
      const end = after.get(name);
      if (end === undefined) continue;
      reporter.figure(`dashboard_memory_${name}_start`, start.mib, "MiB");
      reporter.figure(`dashboard_memory_${name}_end`, end.mib, "MiB");
      reporter.figure(`dashboard_memory_${name}_nodes_start`, start.nodes, "nodes");
      reporter.figure(`dashboard_memory_${name}_nodes_end`, end.nodes, "nodes");
    }
  } finally {
    await world.stop();
  }
}

async function run(world: World, jobs: number, told: (done: number) => void): Promise<void> {
  let begun = 0;
  let done = 0;
  const one = async () => {
    while (begun < jobs) {
      begun++;
      await world.api.run("busy");
      told(++done);
    }
  };
  await Promise.all(Array.from({ length: together }, one));
}

/** The position of the newest event. */
async function events(world: World): Promise<number> {
  const id = await world.api.submit("busy");
  let last = 0;
  for await (const event of world.api.events(`/api/v1/jobs/${id}/events/stream`)) last = event?.sequence ?? last;
  return last;
}

interface Held {
  mib: number;
  nodes: number;
}

/** What is left when all that nobody needs is gone. */
async function look(session: CDPSession): Promise<Held> {
  await session.send("Performance.enable");
  // Twice: what waits for something to be collected goes with the second.
  for (let round = 0; round < 2; round++) await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const value = (name: string) => metrics.find((each) => each.name === name)?.value ?? Number.NaN;
  return { mib: value("JSHeapUsedSize") / 1024 / 1024, nodes: value("Nodes") };
}
