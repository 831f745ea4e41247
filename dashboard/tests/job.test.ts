import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "vitest";
import { accessible, fits, live, loaded, tabTo, test, type World } from "./harness";
import { agentOf } from "./harness/scene";

const gate = `
job_type: gate
description: "Waits at a gate"
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: before
    script:
      - echo "here we begin"
      - echo "said=hello" >>"$ATTA_OUTPUT"
      - mkdir -p out && echo '# A heading' >out/notes.md
    outputs: [said]
    artifacts: {paths: ["out/*"]}
    on_completed: wait
  - task_type: wait
    environment: {GO: "{{ Go }}"}
    script: ['echo "at the gate"; while [ ! -e "$GO" ]; do sleep 0.1; done; echo "gone through"']
    on_completed: after
  - {task_type: after, script: [echo done]}
`;

const failing = `
job_type: failing
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: first, script: [echo first], on_completed: second}
  - task_type: second
    environment: {GO: "{{ Go }}"}
    script: ['test -e "$GO" || { echo "there is no gate" >&2; exit 4; }']
`;

const go = (world: World) => `${world.server.directory}/go`;

test("a job is followed while it runs, over a death of the server, without loading anything anew", async ({
  world,
}) => {
  await world.api.install(gate);
  const id = await world.api.submit("gate", { Go: go(world) });
  const page = await world.open(`/jobs/${id}?task=wait`);
  const log = page.getByRole("region", { name: "Task wait" });
  await log.getByText("at the gate").waitFor();
  await live(page);
  await world.restart(async () => {
    await page.getByRole("status").getByText("Reconnecting").first().waitFor();
  });
  await live(page);
  await world.server.file("go", "");
  expect((await world.api.ended(id)).state).toBe("COMPLETED");
  await page.getByText("Completed").first().waitFor();
  await log.getByText("gone through").waitFor();
});

test("outputs, files and the text of a task are a click away, and the URL leads there", async ({ world }) => {
  await world.api.install(gate);
  await world.server.file("go", "");
  const { job_id: id } = await world.api.run("gate", { Go: go(world) });
  const page = await world.open(`/jobs/${id}?task=before`);
  const task = page.getByRole("region", { name: "Task before" });
  await task.getByText("here we begin").waitFor();
  await accessible(page);
  await task.getByRole("tab", { name: /Outputs/ }).click();
  await task.getByText('"said": "hello"').waitFor();
  await task.getByRole("tab", { name: /Files/ }).click();
  await task.getByText("out/notes.md").first().waitFor();
  await page.waitForURL(/tab=files/);
  await accessible(page);
  await page.reload();
  await task.getByText("out/notes.md").first().waitFor();
  await task.getByRole("tab", { name: /Definition/ }).click();
  await task.getByText("here we begin", { exact: false }).first().waitFor();
  for (const view of ["Timeline", "Tasks", "Changes", "Details"]) {
    await page
      .getByRole("region", { name: "The job" })
      .getByRole("tab", { name: new RegExp(view) })
      .click();
    await page.waitForURL(new RegExp(`view=${view.toLowerCase()}`));
    await accessible(page);
  }
});

test("what failed says why, and is tried again from where it failed", async ({ world }) => {
  await world.api.install(failing);
  const { job_id: id } = await world.api.run("failing", { Go: go(world) });
  const page = await world.open(`/jobs/${id}`);
  const why = page.getByRole("region", { name: "Why it is in this state" });
  await why.getByText("there is no gate").waitFor();
  await accessible(page);
  await world.server.file("go", "");
  await why.getByRole("button", { name: "Retry…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  // Until the server has said so, the job has still ended as it did before.
  await page.getByText("The job begins another attempt.").waitFor();
  const job = await world.api.state(id, "COMPLETED");
  expect(job.tasks.find((task) => task.task_type === "first")?.attempts).toBe(1);

  await page.getByRole("button", { name: "Rerun from…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("From the task").selectOption("first");
  await accessible(page);
  await dialog.getByRole("button", { name: "Rerun" }).click();
  await page.getByText("The job runs again.").waitFor();
  const again = await world.api.until(
    id,
    ({ tasks, state }) => state === "COMPLETED" && tasks.every((task) => task.attempts > 1),
  );
  expect(again.tasks.find((task) => task.task_type === "first")?.attempts).toBe(2);
});

test("a job is paused, goes on and is cancelled, by keyboard alone", async ({ world }) => {
  await world.api.install(gate);
  const id = await world.api.submit("gate", { Go: go(world) });
  await world.api.until(id, ({ tasks }) => tasks.some((task) => task.task_type === "wait" && task.state === "RUNNING"));
  const page = await world.open(`/jobs/${id}`);
  await page.getByRole("button", { name: "Pause…" }).waitFor();
  await tabTo(page, "Pause…");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo(page, "Pause", 20);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Resume…" }).waitFor();
  await tabTo(page, "Resume…");
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await tabTo(page, "Resume", 20);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Pause…" }).waitFor();
  await tabTo(page, "Cancel…");
  await page.keyboard.press("Enter");
  const why = dialog.getByLabel("Why (if you like)");
  await why.waitFor();
  const here = () => why.evaluate((field) => field === document.activeElement);
  for (let step = 0; step < 5 && !(await here()); step++) await page.keyboard.press("Tab");
  expect(await here()).toBe(true);
  await page.keyboard.type("not needed any more");
  await tabTo(page, "Cancel the job", 20);
  await page.keyboard.press("Enter");
  const cancelled = await world.api.ended(id);
  expect([cancelled.state, cancelled.reason]).toEqual(["CANCELLED", expect.stringContaining("not needed any more")]);
  await page.getByText("Cancelled").first().waitFor();
  // The tab has the picture of the job while it is shown, then that of all jobs, of which none runs any more.
  const icon = () => page.locator('link[rel="icon"]').getAttribute("href");
  await expect.poll(icon).toMatch(/^data:image\/svg/);
  await page.getByRole("button", { name: "Run anew…" }).waitFor();
  await page.getByRole("navigation", { name: "Where this is" }).getByRole("link", { name: "Jobs" }).click();
  await expect.poll(icon).toBe("/favicon.svg");
});

test("when each attempt waited and ran is drawn to scale, and leads to it", async ({ world }) => {
  await world.api.install(gate);
  await world.server.file("go", "");
  const { job_id: id } = await world.api.run("gate", { Go: go(world) });
  const page = await world.open(`/jobs/${id}?task=after&view=timeline`);
  const line = page.getByRole("list", { name: "Attempts in time" });
  const row = (task: string) =>
    line.getByRole("button", { name: new RegExp(`^${task}: waited .+, ran .+, COMPLETED$`) });
  const boxes = [];
  for (const task of ["before", "wait", "after"]) {
    const box = await row(task).locator(".bg-ok").boundingBox();
    if (box === null) throw new Error(`${task} has no bar`);
    boxes.push(box);
  }
  expect(await line.getByRole("button").count()).toBe(3);
  const frame = await row("wait").boundingBox();
  // One after the other; what took next to no time is drawn 2 pixels wide all the same.
  const [before, wait, after] = boxes;
  for (const box of boxes) expect(box.width).toBeGreaterThanOrEqual(2);
  expect(before?.x).toBeGreaterThanOrEqual(frame?.x ?? Number.NaN);
  expect(wait?.x).toBeGreaterThan((before?.x ?? Number.NaN) + (before?.width ?? Number.NaN) - 3);
  expect(after?.x).toBeGreaterThan((wait?.x ?? Number.NaN) + (wait?.width ?? Number.NaN) - 3);
  expect((after?.x ?? Number.NaN) + (after?.width ?? Number.NaN)).toBeLessThan((frame?.x ?? 0) + (frame?.width ?? 0));
  await row("wait").click();
  await page.getByRole("region", { name: "Task wait" }).getByText("gone through").waitFor();
  expect(await row("wait").getAttribute("aria-current")).toBe("true");
});

const ways = `
job_type: ways
tasks:
  - task_type: choose
    script: [exit 3]
    on_exit_code: {COMPLETED: left, 3: right}
  - {task_type: left, script: [echo left]}
  - {task_type: right, script: [echo right]}
`;

test("ways that were taken differ from those that were not, in the picture and in the list", async ({ world }) => {
  await world.api.install(ways);
  const { job_id: id } = await world.api.run("ways");
  const page = await world.open(`/jobs/${id}`);
  await page.getByRole("button", { name: /^left, Skipped/ }).waitFor();
  await page.getByRole("button", { name: /^right, Completed/ }).waitFor();
  const looks = () =>
    page.locator(".react-flow__edge").evaluateAll((all) =>
      all.map((edge) => {
        const path = edge.querySelector(".react-flow__edge-path") ?? edge;
        const { stroke, strokeWidth, opacity } = getComputedStyle(path);
        const way = (edge.getAttribute("data-id") ?? "").split(/\s+/).join(" ");
        return { way, stroke, width: Number.parseFloat(strokeWidth), opacity: Number(opacity) };
      }),
    );
  await expect
    .poll(async () => (await looks()).map(({ way }) => way).sort(), { timeout: 30_000 })
    .toEqual(["route choose left", "route choose right"]);
  const [left, right] = (await looks()).sort((a, b) => a.way.localeCompare(b.way));
  expect([right?.opacity, left?.opacity]).toEqual([1, 0.45]);
  expect(right?.width).toBeGreaterThan(left?.width ?? Number.NaN);
  expect(right?.stroke).not.toBe(left?.stroke);
  await page.getByRole("region", { name: "The job" }).getByRole("tab", { name: /Tasks/ }).click();
  const tasks = page.getByRole("list", { name: "Tasks" });
  await tasks.getByRole("button", { name: /^right .*Completed.*from choose/ }).waitFor();
  await tasks.getByRole("button", { name: /^left .*Skipped/ }).waitFor();
});

test("a time is told from now, and in whole with its zone to whoever points at it", async ({ world }) => {
  await world.api.install(ways);
  const job = await world.api.run("ways");
  const page = await world.open(`/jobs/${job.job_id}`);
  const time = page.locator(`time[datetime="${job.created_at}"]`).first();
  await time.waitFor();
  expect(await time.textContent()).toMatch(/^(now|.+ ago)$/);
  const at = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", ...options }).format(new Date(job.created_at));
  const told = await time.getAttribute("title");
  expect(told).toContain(at({ dateStyle: "medium" }));
  expect(told).toContain(at({ timeStyle: "medium" }));
  expect(told).toMatch(/\s(CES?T|GMT\+[12])$/);
});

test("the branch that a job works on is told at its head", async ({ world }) => {
  const run = promisify(execFile);
  const repository = `${world.server.directory}/repository.git`;
  const git = async (...args: string[]) => (await run("git", ["-C", repository, ...args])).stdout.trim();
  await run("git", ["init", "--quiet", "--bare", "--initial-branch=main", repository]);
  const tree = await git("hash-object", "-w", "-t", "tree", "/dev/null");
  const who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@localhost"];
  await git("update-ref", "refs/heads/main", await git(...who, "commit-tree", tree, "-m", "Begin"));
  await world.api.install(
    `job_type: branched\nworkspace:\n  keep: never\n  git: {url: "${repository}", branch: "ai/{{ Nonce }}"}\ntasks:\n  - {task_type: work, script: [echo worked]}\n`,
    ways,
  );
  const job = await world.api.run("branched");
  expect(job.state).toBe("COMPLETED");
  const page = await world.open(`/jobs/${job.job_id}`);
  const head = page.locator("main header").first();
  await head.getByText("Branch", { exact: true }).waitFor();
  await head.getByText(`ai/${job.nonce}`, { exact: true }).waitFor();
  await accessible(page);
  const other = await world.open(`/jobs/${(await world.api.run("ways")).job_id}`);
  await other.getByText("Submitted", { exact: true }).first().waitFor();
  await loaded(other);
  expect(await other.locator("main header").getByText("Branch", { exact: true }).count()).toBe(0);
});

test("what an agent did and what it cost is seen on its task", async ({ world }) => {
  await world.api.install(agentOf("change", { usd: "0.05", turns: "3" }));
  const { job_id: id } = await world.api.run("change");
  const page = await world.open(`/jobs/${id}?task=work&tab=agent`, { phone: true });
  const task = page.getByRole("region", { name: "Task work" });
  await task.getByText("$0.15").first().waitFor();
  await task.getByText("stand-in-1", { exact: false }).first().waitFor();
  await fits(page);
  await accessible(page);
});

test("a million lines of log are at hand: the last one, and any that is looked for", async ({ world }) => {
  await world.api.install("job_type: million\ntasks:\n  - {task_type: count, script: [seq 1000000]}\n");
  const { job_id: id } = await world.api.run("million");
  const page = await world.open(`/jobs/${id}?task=count`);
  const task = page.getByRole("region", { name: "Task count" });
  await task.getByText("1000000", { exact: true }).first().waitFor();
  await task.getByLabel("Go to line").fill("123456");
  await page.keyboard.press("Enter");
  await task.getByText("123456", { exact: true }).first().waitFor();
  await task.getByPlaceholder("Search").fill("777777");
  await page.keyboard.press("Enter");
  await task.getByText("777777").first().waitFor();
  await accessible(page);
  // As many rows as one sees, not a million.
  expect(await page.locator("main *").count()).toBeLessThan(5000);
});

test("two thousand tasks are a list that one can search", async ({ world }) => {
  const tasks = Array.from({ length: 1999 }, (_, index) => {
    const from = index === 0 ? "" : `, dependencies: [t${Math.floor((index - 1) / 40) * 40}]`;
    return `  - {task_type: t${index}, script: [echo ${index}]${index === 0 ? ", dependencies: [gate]" : from}}`;
  });
  await world.api.install(
    `job_type: wide\nparams: {Go: {required: true}}\ntasks:\n  - {task_type: gate, environment: {GO: "{{ Go }}"}, script: ['while [ ! -e "$GO" ]; do sleep 0.2; done']}\n${tasks.join("\n")}\n`,
  );
  const id = await world.api.submit("wide", { Go: go(world) });
  await world.api.until(id, ({ tasks }) => tasks.some((task) => task.state === "RUNNING"));
  const page = await world.open(`/jobs/${id}?view=tasks`);
  await page.getByText("2000 of 2000").waitFor();
  await page.getByLabel("Find a task").fill("t1998");
  await page.getByText("1 of 2000").waitFor();
  await page.getByRole("region", { name: "The job" }).getByRole("tab", { name: "Graph" }).click();
  await page.getByText("Drawing…").waitFor({ state: "detached" });
  await page.locator(".react-flow__node").first().waitFor();
});
