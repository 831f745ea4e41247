import { expect } from "vitest";
import { accessible, attack, fits, harmless, test } from "./harness";

const check = `
job_type: check
params: {Commit: {default: a}, Exit: {type: integer, default: 0}}
description: "Check of {{ Commit }}"
tasks:
  - task_type: test
    script: ["exit {{ Exit }}"]
`;

const long = `
job_type: long
tasks:
  - task_type: wait
    script: [sleep 600]
`;

test("the address says which jobs are shown, and new ones appear by themselves", async ({ world }) => {
  await world.api.install(check);
  await world.api.run("check", { Commit: attack });
  await world.api.run("check", { Commit: "needle", Exit: 1 });
  const page = await world.open("/jobs?state=FAILED&text=needle");
  await page.getByText("Check of needle").waitFor();
  expect(await page.getByRole("button", { name: "Failed", exact: true }).getAttribute("aria-pressed")).toBe("true");
  await page.getByRole("button", { name: "Failed", exact: true }).click();
  await page.getByLabel(/^Search in id/).fill("");
  await page.getByText("2 jobs, the newest first").waitFor();
  await expect.poll(() => new URL(page.url()).search, { timeout: 30_000 }).toBe("");
  await harmless(page);
  await accessible(page);
  await fits(page);
  await world.api.run("check", { Commit: "later" });
  await page.getByText("Check of later").waitFor();
});

test("an address that makes no sense still shows jobs", async ({ world }) => {
  await world.api.install(check);
  await world.api.run("check");
  const page = await world.open("/jobs?state=NONSENSE&since=ever&after=never&text[]=1", { phone: true });
  await page.getByText("1 job, the newest first").waitFor();
  await fits(page);
  await accessible(page);
});

test("jobs are found by the labels of their definitions, and counted by state", async ({ world }) => {
  const labelled = (name: string, labels: string, exit: number) =>
    `job_type: ${name}\nlabels: ${labels}\ntasks:\n  - {task_type: work, script: [exit ${exit}]}\n`;
  await world.api.install(
    labelled("core-check", "{team: core, nightly: ''}", 0),
    labelled("core-build", "{team: core}", 1),
    labelled("shop-build", "{team: shop}", 1),
  );
  for (const name of ["core-check", "core-build", "shop-build"]) await world.api.run(name);
  const page = await world.open("/jobs");
  await page.getByText("3 jobs, the newest first").waitFor();
  await expect.poll(() => page.getByRole("button", { name: "Failed" }).textContent()).toBe("Failed2");
  const field = page.getByLabel(/^Label, such as/);
  await field.fill("team:core");
  await field.press("Enter");
  await page.getByText("2 jobs, the newest first").waitFor();
  await page.waitForURL((url) => url.searchParams.get("label") === "team:core");
  expect(await field.inputValue()).toBe("");
  await expect.poll(() => page.getByRole("button", { name: "Failed" }).textContent()).toBe("Failed1");
  await accessible(page);
  await field.fill("nightly");
  await field.press("Enter");
  await page.getByText("1 job, the newest first").waitFor();
  await page.reload();
  await page.getByText("1 job, the newest first").waitFor();
  await page.getByRole("button", { name: "Remove: Label nightly" }).click();
  await page.getByText("2 jobs, the newest first").waitFor();
  await page.getByRole("button", { name: "Remove: Label team:core" }).click();
  await page.getByRole("link", { name: "team:shop" }).click();
  await page.getByText("1 job, the newest first").waitFor();
  // What ends while one looks is counted.
  await world.api.run("shop-build");
  await expect
    .poll(() => page.getByRole("button", { name: "Failed" }).textContent(), { timeout: 30_000 })
    .toBe("Failed2");
  await page.getByText("2 jobs, the newest first").waitFor();
});

test("several jobs are cancelled at once by keyboard, with one summary", async ({ world }) => {
  await world.api.install(check, long);
  const ended = await world.api.run("check");
  const jobs = [await world.api.submit("long"), await world.api.submit("long")];
  for (const job of jobs) await world.api.state(job, "RUNNING");
  const page = await world.open("/jobs");
  await page.getByText("3 jobs, the newest first").waitFor();
  for (const key of ["j", "x", "j", "x", "j", "x"]) await page.keyboard.press(key);
  await page.getByText("3 selected").waitFor();
  await page.keyboard.press("c");
  const dialog = page.getByRole("alertdialog");
  await dialog.getByText("1 of those selected end already or have ended").waitFor();
  await dialog.getByLabel(/^Why/).fill("not needed");
  await dialog.getByRole("button", { name: "Cancel 2 jobs" }).click();
  await page.getByText("2 jobs: being cancelled.").waitFor();
  for (const job of jobs) expect((await world.api.ended(job)).state).toBe("CANCELLED");

  await page.keyboard.press("k");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect.poll(() => new URL(page.url()).pathname, { timeout: 30_000 }).toBe(`/jobs/${ended.job_id}`);
});

test("the palette finds jobs, definitions and pages, and ? lists the keys of the page", async ({ world }) => {
  await world.api.install(check);
  const job = await world.api.run("check", { Commit: "needle" });
  const page = await world.open("/jobs");
  await page.getByText("1 job, the newest first").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Select or leave out the job").waitFor();
  await accessible(page);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find jobs, definitions, pages, actions").fill("needle");
  await page.getByRole("option", { name: /Check of needle/ }).waitFor();
  await accessible(page);
  await page.getByRole("option", { name: /Check of needle/, selected: true }).waitFor();
  await page.keyboard.press("Enter");
  await expect.poll(() => new URL(page.url()).pathname, { timeout: 30_000 }).toBe(`/jobs/${job.job_id}`);
  for (const key of ["g", "a"]) await page.keyboard.press(key);
  await expect.poll(() => new URL(page.url()).pathname, { timeout: 30_000 }).toBe("/ants");
});
