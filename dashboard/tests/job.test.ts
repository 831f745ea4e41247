import { expect } from "vitest";
import { accessible, fits, live, tabTo, test, type World } from "./harness";
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
  await page.getByRole("button", { name: "Resume…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
  await page.getByRole("button", { name: "Cancel…" }).click();
  await page.getByRole("dialog").getByLabel("Why (if you like)").fill("not needed any more");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel the job" }).click();
  expect((await world.api.ended(id)).state).toBe("CANCELLED");
  await page.getByText("Cancelled").first().waitFor();
  // The tab has the picture of the job while it is shown, then that of all jobs, of which none runs any more.
  const icon = () => page.locator('link[rel="icon"]').getAttribute("href");
  await expect.poll(icon).toMatch(/^data:image\/svg/);
  await page.getByRole("button", { name: "Run anew…" }).waitFor();
  await page.getByRole("navigation", { name: "Where this is" }).getByRole("link", { name: "Jobs" }).click();
  await expect.poll(icon).toBe("/favicon.svg");
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
