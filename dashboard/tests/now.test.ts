import { expect } from "vitest";
import { accessible, attack, fits, harmless, test } from "./harness";

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
    await page.evaluate(() => localStorage.removeItem("atta.person"));
    await page.reload();
    await page.getByRole("button", { name: "Approve…" }).click();
    await page.getByLabel("In whose name do you vote?").fill(name);
    await page.getByRole("button", { name: "Use this name" }).click();
    await page.getByRole("button", { name: "Approve…" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Approve" }).click();
    await page.getByText("Your approval is counted.").waitFor();
  }
  expect((await world.api.ended(job)).state).toBe("COMPLETED");
  await page.getByText("Nothing needs you").waitFor();
});

test("a rejection needs a comment, and what the server refuses is said in the dialog", async ({ world }) => {
  await world.api.install(release);
  const job = await world.api.submit("release");
  await world.api.state(job, "WAITING");
  const { page, allow } = await world.sheet("/");
  allow(/403/);
  await page.evaluate(() => localStorage.setItem("atta.person", "mallory"));
  await page.reload();
  await page.getByRole("button", { name: "Reject…" }).click();
  const dialog = page.getByRole("alertdialog");
  expect(await dialog.getByRole("button", { name: "Reject" }).isDisabled()).toBe(true);
  await dialog.getByLabel("Comment").fill("not on a Friday");
  await dialog.getByRole("button", { name: "Reject" }).click();
  await dialog.getByRole("alert").getByText("alice").waitFor();
  await accessible(page);
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
});
