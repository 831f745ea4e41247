import type { Page } from "playwright-core";
import type { Api } from "../src/api/client";
import { live } from "../tests/harness/checks";
import { World } from "../tests/harness/world";
import { percentile, type Reporter } from "./figure";

/** Tasks of one job whose changes are timed: as many as a list shows at once. */
const tasks = 20;
/** States that a page shows in words, by the events' names for them. */
const words: Record<string, string> = { RUNNING: "Running", COMPLETED: "Completed" };

const chain = `
job_type: chain
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: gate
    environment: {GO: "{{ Go }}"}
    script: ['while [ ! -e "$GO" ]; do sleep 0.05; done']
    on_completed: t1
${Array.from({ length: tasks }, (_, at) => {
  const next = at + 1 < tasks ? `, on_completed: t${at + 2}` : "";
  return `  - {task_type: t${at + 1}, script: [sleep 0.5]${next}}`;
}).join("\n")}
`;

const short = "job_type: short\ndefaults: {shell: [sh, -eu]}\ntasks:\n  - {task_type: one, script: [sleep 1]}\n";

/** From the moment that a change has in the server's history to the frame in which a page shows it. */
export async function changes(reporter: Reporter, count: number): Promise<void> {
  const world = await World.start(["--slots", "4"]);
  try {
    await world.api.install(chain, short);
    report(reporter, "job_page", await onJobPage(world, reporter, count));
    report(reporter, "now", await onNow(world, reporter, count));
  } finally {
    await world.stop();
  }
}

function report(reporter: Reporter, page: string, samples: readonly number[]) {
  for (const [name, share] of [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const) {
    reporter.figure(`dashboard_change_to_${page}_${name}`, percentile(samples, share), "ms", {
      samples: samples.length,
    });
  }
}

/** Tasks that begin and end, on the list of a job. */
async function onJobPage(world: World, reporter: Reporter, count: number): Promise<number[]> {
  const samples: number[] = [];
  for (let round = 0; samples.length < count; round++) {
    const go = `go-${round}`;
    const id = await world.api.submit("chain", { Go: `${world.server.directory}/${go}` });
    await world.api.until(id, (job) => job.tasks.some((task) => task.state === "RUNNING"));
    const page = await world.open(`/jobs/${id}?view=tasks`);
    await page.getByText(`${tasks + 1} of ${tasks + 1}`).waitFor();
    await live(page);
    await watch(page, `ul[aria-label="Tasks"] li`, "task");
    await world.server.file(go, "");
    await world.api.ended(id);
    await page.getByText("Completed").nth(tasks).waitFor();
    const seen = await page.evaluate(() => window.seen);
    await page.context().close();
    let missing = 0;
    for (const { name, state, at } of await changedTasks(world, id)) {
      const word = words[state];
      if (name === "gate" || word === undefined) continue;
      const shown = seen[`${name} ${word}`];
      if (shown === undefined) missing++;
      else samples.push(shown - at);
    }
    reporter.say(
      `job page: ${samples.length} of ${count}${missing > 0 ? `; ${missing} were over before they were shown` : ""}`,
    );
    if (missing === 2 * tasks) throw new Error("the page shows none of the changes");
  }
  return samples;
}

/** Jobs that begin and end, on the page that people have open all day. */
async function onNow(world: World, reporter: Reporter, count: number): Promise<number[]> {
  const page = await world.open("/");
  await live(page);
  await watch(page, "main li", "job");
  const jobs: Api<"JobDetail">[] = [];
  while (jobs.length * 2 < count) {
    jobs.push(await world.api.run("short"));
    if (jobs.length % 20 === 0) reporter.say(`Now: ${jobs.length * 2} of ${count}`);
  }
  await page.waitForFunction((last) => window.seen[`${last} Completed`] !== undefined, jobs.at(-1)?.job_id);
  const seen = await page.evaluate(() => window.seen);
  const samples: number[] = [];
  let missing = 0;
  for (const job of jobs) {
    for (const [word, at] of [
      ["Running", job.started_at],
      ["Completed", job.finished_at],
    ] as const) {
      const shown = seen[`${job.job_id} ${word}`];
      if (shown === undefined || at == null) missing++;
      else samples.push(shown - Date.parse(at));
    }
  }
  if (missing > 0) reporter.say(`Now: ${missing} changes were over before they were shown`);
  return samples;
}

interface Changed {
  name: string;
  state: string;
  at: number;
}

async function changedTasks(world: World, id: string): Promise<Changed[]> {
  const { items } = await world.api.ask<Api<"Page_EventResource">>("GET", `/api/v1/jobs/${id}/events?limit=500`);
  return items.flatMap(({ kind, at, data }) => {
    if (kind !== "task_changed") return [];
    const { task, to } = data as { task: string; to: string };
    return [{ name: task, state: to, at: Date.parse(at) }];
  });
}

declare global {
  interface Window {
    /** When what was shown first, in milliseconds since 1970. */
    seen: Record<string, number>;
  }
}

/** Notes the frame in which a row first says a state. Page and server have the same clock. */
async function watch(page: Page, rows: string, of: "task" | "job"): Promise<void> {
  await page.evaluate(
    ([rows, of]) => {
      window.seen = {};
      const look = () => {
        const now: string[] = [];
        for (const row of document.querySelectorAll(rows)) {
          const link = row.querySelector("a[href^='/jobs/']")?.getAttribute("href");
          const name =
            of === "job" ? link?.split("/")[2]?.split("?")[0] : row.querySelector(".font-medium")?.textContent;
          const texts = [...row.querySelectorAll("span")].map((each) => each.textContent.trim());
          const word = texts.find((each) => each === "Running" || each === "Completed");
          if (name && word) now.push(`${name} ${word}`);
        }
        const fresh = now.filter((each) => !(each in window.seen));
        if (fresh.length === 0) return;
        for (const each of fresh) window.seen[each] = Number.NaN;
        requestAnimationFrame(() => {
          const at = performance.timeOrigin + performance.now();
          for (const each of fresh) window.seen[each] = at;
        });
      };
      look();
      new MutationObserver(look).observe(document.body, {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
    },
    [rows, of] as const,
  );
}
