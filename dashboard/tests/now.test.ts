import { expect } from "vitest";
import { accessible, attack, fits, harmless, test, World } from "./harness";
import { agentOf } from "./harness/scene";

const release = `
job_type: release
params: {About: {default: ""}}
description: "{{ About }}"
tasks:
  - task_type: ask
    approval: {users: [alice, bob], min_approvals: 2, message: "Publish? {{ About }}"}
    on_exit_code: {APPROVED: publish, REJECTED: END_BLOCKED}
  - task_type: publish
    script: [echo published]
`;

const blocked = `
job_type: blocked
description: "Cache the price list, see https://github.com/acme/shop/issues/42"
tasks:
  - task_type: plan
    script: [exit 2]
    on_exit_code: {2: END_BLOCKED}
`;

const paused = `
job_type: paused
tasks:
  - task_type: ask
    script: ['[ "{{ TaskAttempt }}" -ge 2 ] || exit 9']
    on_exit_code: {9: PAUSE_JOB}
`;

test("the very first page says what to type, and shows the first job as soon as there is one", async ({ world }) => {
  const page = await world.open("/", { phone: true });
  await page.getByRole("heading", { name: "Start here" }).waitFor();
  await accessible(page);
  await fits(page);
  await world.api.install(blocked);
  await world.api.run("blocked");
  await page.reload();
  await page.getByText("plan ended with exit code 2, which blocks the job.").waitFor();
});

test("a question is answered where it is shown, and says before what a vote does", async ({ world }) => {
  await world.api.install(release);
  const job = await world.api.submit("release", { About: attack });
  await world.api.state(job, "WAITING");
  const page = await world.open("/");
  await page.getByText("Approve: vote 1 of 2; 1 more is needed.").waitFor();
  await expect.poll(() => page.title(), { timeout: 30_000 }).toContain("1 needs you");
  await harmless(page);
  await accessible(page);
  await fits(page);

  for (const name of ["alice", "bob"]) {
    if (name === "bob") {
      await page.getByText("You (alice) have approved; others have to vote.").waitFor();
      await page.getByRole("button", { name: "Change the name in which you vote" }).click();
      expect(await page.getByLabel("In whose name do you vote?").inputValue()).toBe("alice");
    } else {
      await page.getByRole("button", { name: "Approve…" }).click();
    }
    await page.getByLabel("In whose name do you vote?").fill(name);
    await page.getByRole("button", { name: "Use this name" }).click();
    await page.getByText(`You vote as ${name} ·`).waitFor();
    await page.getByRole("button", { name: "Approve…" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Approve" }).click();
    await page.getByText("Your approval is counted.").waitFor();
  }
  expect((await world.api.ended(job)).state).toBe("COMPLETED");
  await page.getByText("Nothing needs you").waitFor();
});

test("a rejection needs a comment, what the server refuses is said in the dialog, and a wrong name can be changed", async ({
  world,
}) => {
  await world.api.install(release);
  const job = await world.api.submit("release");
  await world.api.state(job, "WAITING");
  const { page, allow } = await world.sheet("/");
  allow(/403/);
  await page.getByRole("button", { name: "Reject…" }).click();
  await page.getByLabel("In whose name do you vote?").fill("alcie");
  await page.getByRole("button", { name: "Use this name" }).click();
  await page.getByRole("button", { name: "Reject…" }).click();
  const dialog = page.getByRole("alertdialog");
  expect(await dialog.getByRole("button", { name: "Reject" }).isDisabled()).toBe(true);
  await dialog.getByLabel("Comment").fill("not on a Friday");
  await dialog.getByRole("button", { name: "Reject" }).click();
  await dialog.getByRole("alert").getByText("alice").waitFor();
  await accessible(page);
  await dialog.getByRole("button", { name: "Decide later" }).click();
  await page.getByRole("button", { name: "Change the name in which you vote" }).click();
  await accessible(page);
  await page.getByLabel("In whose name do you vote?").fill("alice");
  await page.getByRole("button", { name: "Use this name" }).click();
  await page.getByRole("button", { name: "Reject…" }).click();
  await dialog.getByLabel("Comment").fill("not on a Friday");
  await dialog.getByRole("button", { name: "Reject" }).click();
  expect((await world.api.ended(job)).state).toBe("BLOCKED");
});

test("what is paused or blocked goes on from here", async ({ world }) => {
  await world.api.install(blocked, paused);
  const waits = await world.api.submit("paused");
  await world.api.state(waits, "PAUSED");
  await world.api.run("blocked");
  const page = await world.open("/", { dark: true });
  await page.getByRole("button", { name: "Resume…" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Resume" }).click();
  expect((await world.api.ended(waits)).state).toBe("COMPLETED");
  await page.getByText("plan ended with exit code 2, which blocks the job.").waitFor();
  await accessible(page);
  await page.getByRole("button", { name: "Hide" }).click();
  await page.getByText("1 blocked job is hidden in this browser.").waitFor();
  await page.getByText("blocked is hidden in this browser until it is blocked again.").waitFor();
  await page.getByText("Nothing needs you").waitFor();
  await accessible(page);
  await page.getByRole("button", { name: "Show it again" }).click();
  await page.getByText("plan ended with exit code 2, which blocks the job.").waitFor();
  await page.getByText("1 blocked job is hidden in this browser.").waitFor({ state: "detached" });
});

test("what runs and what waits is listed with the reason, beside who does the work and what it has cost", async () => {
  const world = await World.start(["--slots", "1", "--budget-per-day", "usd=10"]);
  try {
    await world.api.install(
      agentOf("change", { usd: "0.05", turns: "2", more: "budget: {per_day: {usd: 4}}" }),
      `
job_type: merge
params: {Go: {required: true}, Number: {type: integer, required: true}}
description: "Merge https://github.com/acme/shop/pull/{{ Number }}"
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: wait, script: ['while [ ! -e "$GO" ]; do sleep 0.1; done'], environment: {GO: "{{ Go }}"}}
`,
    );
    await world.api.run("change");
    const merge = (number: number, more = {}) =>
      world.api.submit("merge", { Go: `${world.server.directory}/go`, Number: number }, more);
    const first = await merge(57);
    await world.api.until(first, ({ tasks }) => tasks[0]?.state === "RUNNING");
    await merge(58, { priority: "HIGH" });
    await merge(59, { scheduled_at: "2099-01-01T00:00:00Z" });
    const page = await world.open("/");
    const panel = (name: string) =>
      page.locator("section").filter({ has: page.getByRole("heading", { level: 2, name: new RegExp(`^${name}`) }) });

    const pulls = panel("Needs you").getByRole("listitem").filter({ hasText: "Pull requests that wait for a review" });
    expect(await pulls.getByRole("link", { name: /acme\/shop#57/ }).getAttribute("href")).toBe(
      "https://github.com/acme/shop/pull/57",
    );
    await panel("Running")
      .getByRole("link", { name: /Merge .*57/ })
      .waitFor();
    const queue = panel("Queue");
    const row = (number: number) => queue.getByRole("listitem").filter({ hasText: `pull/${number}` });
    await row(58).getByText("waits for an ant: 1 of 1 slots busy").waitFor();
    await row(58).getByText("high priority").waitFor();
    await row(59).getByText("scheduled for 2099-01-01").waitFor();

    const ants = panel("Ants");
    await ants.getByText("1 of 1 busy").waitFor();
    expect(await ants.getByRole("meter", { name: "Slots of local" }).getAttribute("aria-valuenow")).toBe("1");
    const spend = panel("Spend today");
    await spend.getByText("of $10.00").waitFor();
    await spend.getByText("2,560 tokens · 2 turns").waitFor();
    await spend.getByText("$0.10 of $4.00").waitFor();
    await spend.getByRole("meter", { name: /used by change/ }).waitFor();
    await accessible(page);
    await fits(page);

    // With a slot that is free, the next one runs.
    await world.server.file("go", "");
    await world.api.ended(first);
    await row(58).waitFor({ state: "detached" });
    await ants.getByText("0 of 1 busy").waitFor();
    await row(59).getByText("scheduled for 2099-01-01").waitFor();
    await page.getByText("Nothing needs you").waitFor();
  } finally {
    await world.stop();
  }
});

test("a job that has begun says what its next task waits for", async () => {
  const world = await World.start(["--slots", "1"]);
  try {
    await world.api.install(`
job_type: steps
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: first
    environment: {GO: "{{ Go }}"}
    script: ['while [ ! -e "$GO" ]; do sleep 0.1; done']
    on_completed: second
  - {task_type: second, script: [echo done]}
`);
    const submit = (go: string, more = {}) =>
      world.api.submit("steps", { Go: `${world.server.directory}/${go}` }, more);
    const begun = await submit("one");
    await world.api.until(begun, ({ tasks }) => tasks[0]?.state === "RUNNING");
    const urgent = await submit("two", { priority: "HIGH" });
    const page = await world.open("/");
    await world.server.file("one", "");
    await world.api.until(urgent, ({ tasks }) => tasks[0]?.state === "RUNNING");
    const row = page.getByRole("listitem").filter({ has: page.locator(`a[href="/jobs/${begun}"]`) });
    await row.getByText("waits for an ant: 1 of 1 slots busy").waitFor();
    await world.server.file("two", "");
    for (const job of [begun, urgent]) expect((await world.api.ended(job)).state).toBe("COMPLETED");
  } finally {
    await world.stop();
  }
});

test("a long queue hides neither what runs nor what needs somebody, and sections say what they leave out", async ({
  world,
}) => {
  await world.api.install(paused, "job_type: later\ntasks:\n  - {task_type: one, script: [echo hi]}\n", blocked);
  const old = await world.api.submit("paused");
  await world.api.state(old, "PAUSED");
  const at = new Date(Date.now() + 86_400_000).toISOString();
  for (let more = 0; more < 21; more++) {
    await Promise.all(Array.from({ length: 10 }, () => world.api.submit("later", {}, { scheduled_at: at })));
  }
  const stopped = await Promise.all(Array.from({ length: 31 }, () => world.api.submit("blocked")));
  for (const job of stopped) await world.api.ended(job);
  const page = await world.open("/");
  await page.locator(`a[href="/jobs/${old}"]`).waitFor();
  await page.getByRole("link", { name: "All 210" }).waitFor();
  await page.getByText("Of the blocked jobs, the newest 30 are looked at here.").waitFor();
  // Who hides one of those that are listed has hidden no other.
  const needed = page.getByRole("main").locator("dl > div").filter({ hasText: "Need you" }).locator("dd");
  await expect.poll(() => needed.textContent(), { timeout: 30_000 }).toBe("32");
  await page.getByRole("button", { name: "Hide" }).first().click();
  await page.getByText("1 blocked job is hidden in this browser.").waitFor();
  await expect.poll(() => needed.textContent(), { timeout: 30_000 }).toBe("31");
  await page.getByRole("link", { name: "All 31" }).click();
  await page.getByText("31 jobs, the newest first").waitFor();
});
