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

const gated = `
job_type: gated
params: {Commit: {default: a}}
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: first, script: [echo first], on_completed: second}
  - task_type: second
    environment: {GO: "{{ configs.Go }}"}
    script: ['test -e "$GO"']
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

test("jobs are found by their definition, and by when they were submitted", async ({ world }) => {
  await world.api.install(check, check.replace("job_type: check", "job_type: other"));
  const { created_at: created } = await world.api.run("check");
  await world.api.run("other");
  const page = await world.open("/jobs");
  await page.getByText("2 jobs, the newest first").waitFor();
  const definition = page.getByLabel("Definition", { exact: true });
  await definition.selectOption("check");
  await page.getByText("1 job, the newest first").waitFor();
  await page.waitForURL((url) => url.search === "?type=check");
  await page.reload();
  await page.getByText("1 job, the newest first").waitFor();
  expect(await definition.inputValue()).toBe("check");
  await definition.selectOption("Every definition");
  await page.getByText("2 jobs, the newest first").waitFor();

  const when = page.getByLabel("When they were submitted");
  const hour = 3_600_000;
  const [asked] = await Promise.all([
    page.waitForRequest((request) => /\/jobs\?.*created_after=/.test(request.url())),
    when.selectOption("Last hour"),
  ]);
  const from = Date.parse(new URL(asked.url()).searchParams.get("created_after") ?? "");
  // An hour before now, which is after the job.
  expect(from).toBeGreaterThan(Date.parse(created) - hour);
  expect(from).toBeLessThan(Date.parse(created));
  await page.waitForURL((url) => url.search === "?since=1h");
  await page.getByText("2 jobs, the newest first").waitFor();

  // Berlin is an hour before UTC in winter, and two in summer.
  await when.selectOption("Between…");
  const [after, before] = [page.getByLabel("Submitted at or after"), page.getByLabel("Submitted before")];
  await after.fill("2020-01-15T10:30");
  await before.fill("2040-07-01T12:00");
  await page.waitForURL(
    ({ searchParams }) =>
      searchParams.get("after") === "2020-01-15T09:30:00.000Z" &&
      searchParams.get("before") === "2040-07-01T10:00:00.000Z" &&
      !searchParams.has("since"),
  );
  await page.getByText("2 jobs, the newest first").waitFor();
  await accessible(page);
  await page.reload();
  await page.getByText("2 jobs, the newest first").waitFor();
  expect(await when.inputValue()).toBe("between");
  expect([await after.inputValue(), await before.inputValue()]).toEqual(["2020-01-15T10:30", "2040-07-01T12:00"]);
  await before.fill("2020-07-01T12:00");
  await page.getByText("No job is like that").waitFor();
  await when.selectOption("Any time");
  await page.getByText("2 jobs, the newest first").waitFor();
  await page.waitForURL((url) => url.search === "");
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

test("several jobs are tried again at once, by a key or by a button, and what did not fail stays as it is", async ({
  world,
}) => {
  await world.api.ask("PUT", "/api/v1/configs/Go", { value: `${world.server.directory}/go` });
  await world.api.install(check, gated);
  const failed = [await world.api.run("gated"), await world.api.run("gated")];
  const page = await world.open("/jobs");
  await page.getByText("2 jobs, the newest first").waitFor();
  const ended = await world.api.run("check");
  await page.getByText("3 jobs, the newest first").waitFor();
  const again = page.getByRole("region", { name: "Selected jobs" }).getByRole("button", { name: "Try again…" });
  await page.getByRole("checkbox", { name: `Select check ${ended.job_id}` }).check();
  await page.getByText("1 selected").waitFor();
  expect(await again.isDisabled()).toBe(true);
  await page.keyboard.press("r");
  await page.getByText("None of them has failed, been blocked or been cancelled.").waitFor();
  await page.getByRole("checkbox", { name: "Select all 3 that are shown" }).check();
  await page.getByText("3 selected").waitFor();
  await page.keyboard.press("r");
  const dialog = page.getByRole("alertdialog");
  await dialog.getByText("1 of those selected did not fail: left as they are.").waitFor();
  await accessible(page);
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("3 selected").waitFor();
  await world.server.file("go", "");
  await again.click();
  await dialog.getByRole("button", { name: "Try 2 jobs again" }).click();
  await page.getByText("2 jobs: trying again.").waitFor();
  for (const { job_id: id } of failed) {
    const { attempt, tasks } = await world.api.state(id, "COMPLETED");
    expect([attempt, tasks.map(({ attempts }) => attempts)]).toEqual([2, [1, 2]]);
  }
  expect((await world.api.job(ended.job_id)).attempt).toBe(1);
  // Nothing stays selected that one has done something with.
  await again.waitFor({ state: "detached" });
});

test("a search is kept under a name in the browser, until one forgets it", async ({ world }) => {
  await world.api.install(check);
  await world.api.run("check", { Commit: "needle", Exit: 1 });
  await world.api.run("check", { Commit: "hay" });
  const page = await world.open("/jobs");
  await page.getByText("2 jobs, the newest first").waitFor();
  const views = page.getByRole("navigation", { name: "Views" });
  const keep = views.getByRole("button", { name: "Save this view…" });
  // Everybody has this one.
  expect(await keep.count()).toBe(0);
  await page.getByLabel(/^Search in id/).fill("needle");
  await page.getByText("1 job, the newest first").waitFor();
  await keep.click();
  const dialog = page.getByRole("alertdialog");
  const save = dialog.getByRole("button", { name: "Save", exact: true });
  expect(await save.isDisabled()).toBe(true);
  await dialog.getByLabel("Name").fill("Needles");
  await accessible(page);
  await save.click();
  const view = views.getByRole("link", { name: "Needles" });
  await view.waitFor();
  expect(await view.getAttribute("aria-current")).toBe("page");
  await keep.waitFor({ state: "detached" });
  await views.getByRole("link", { name: "All" }).click();
  await page.getByText("2 jobs, the newest first").waitFor();
  await page.reload();
  await view.click();
  await page.getByText("1 job, the newest first").waitFor();
  expect(new URL(page.url()).search).toBe("?text=needle");
  // The same name again is the same view with another search.
  await page.getByRole("button", { name: "Failed", exact: true }).click();
  await page.waitForURL(/state=FAILED/);
  await keep.click();
  await dialog.getByLabel("Name").fill("Needles");
  await save.click();
  await keep.waitFor({ state: "detached" });
  expect(await view.count()).toBe(1);
  expect(await view.getAttribute("href")).toContain("state=FAILED");
  await fits(page);
  await accessible(page);
  await views.getByRole("button", { name: "Forget the view Needles" }).click();
  await keep.waitFor();
  await page.reload();
  await keep.waitFor();
  expect(await view.count()).toBe(0);
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
