import { expect } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, attack, fits, harmless, test } from "./harness";
import { agentOf, examplesOf } from "./harness/scene";

const twice = `
job_type: twice
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: flaky
    retry: 1
    delay_between_retries: 20ms
    environment: {ATTEMPT: "{{ TaskAttempt }}"}
    script:
      - seq 100 140
      - printf '\\033[31mattempt %s\\033[0m\\n' "$ATTEMPT"
      - seq 200 240
      - '[ "$ATTEMPT" -ge 2 ]'
`;

// A red dot of one pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

const files = `
job_type: files
params: {Words: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: make
    environment: {WORDS: "{{ Words }}"}
    script:
      - mkdir -p out
      - echo ${dot} | base64 -d >out/dot.png
      - echo "no picture" >out/broken.png
      - printf '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="attacked(1)"><script>attacked(2)</script></svg>' >out/drawn.svg
      - printf '# What was done\\n\\n- **one** thing\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\n%s\\n' "$WORDS" >out/notes.md
      - printf '{"said":["x",{"y":1}]}' >out/report.json
      - |
        cat >out/work.patch <<'END'
        diff --git a/shout.txt b/shout.txt
        --- a/shout.txt
        +++ b/shout.txt
        @@ -1,2 +1,2 @@
         same
        -quiet
        +<script>attacked("patch")</script>
        END
      - printf 'a\\000b' >out/raw.txt
      - printf 'PK' >out/all.zip
    artifacts: {paths: ["out/*"]}
`;

test("two attempts are compared: what differs of their facts, and of their logs", async ({ world }) => {
  await world.api.install(twice);
  const { job_id: id } = await world.api.run("twice");
  const page = await world.open(`/jobs/${id}?task=flaky`);
  const task = page.getByRole("region", { name: "Task flaky" });
  await task.getByLabel("Compare with").selectOption("1");
  await page.waitForURL(/compare=1/);
  await task.getByRole("heading", { name: "Attempt 1 and attempt 2" }).waitFor();
  const row = task.getByRole("row", { name: /Exit code/ });
  await row.getByText("(differs)").waitFor();
  expect(await row.getByRole("cell").allTextContents()).toEqual(["1", "0"]);
  await task.getByText("2 lines differ").waitFor();
  const log = task.locator("pre");
  expect(await log.textContent()).toMatch(/−attempt 1\s*\+attempt 2/);
  expect(await log.textContent()).toContain("38 equal lines");
  expect(await log.textContent()).not.toContain("120");
  await accessible(page);
  await task.getByLabel("Show equal lines").check();
  await expect.poll(() => log.textContent()).toContain("120");
  // The address leads there.
  await page.reload();
  await task.getByText("2 lines differ").waitFor();
  await task.getByRole("button", { name: "End comparing" }).click();
  await page.waitForURL((url) => !url.search.includes("compare"));
});

test("files are shown as what they are: pictures, Markdown, JSON, patches; and nothing in them runs", async ({
  world,
}) => {
  await world.api.install(files);
  const { job_id: id } = await world.api.run("files", { Words: attack });
  const page = await world.open(`/jobs/${id}?task=make&tab=files`);
  const task = page.getByRole("region", { name: "Task make" });
  const show = async (name: string) => {
    await task.getByRole("button", { name: new RegExp(`^out/${name.replace(".", "[.]")}`) }).click();
    await page.waitForURL((url) => url.searchParams.get("file") === `out/${name}`);
  };
  for (const name of ["dot.png", "drawn.svg"]) {
    await show(name);
    const picture = task.getByRole("img", { name: `out/${name}` });
    await picture.waitFor();
    await expect
      .poll(() => picture.evaluate((image) => (image as HTMLImageElement).naturalWidth), { timeout: 30_000 })
      .toBeGreaterThan(0);
  }
  await show("broken.png");
  await task.getByText("This is no picture that the browser can show").waitFor();
  await show("notes.md");
  await task.getByText("What was done", { exact: true }).waitFor();
  await task.getByRole("cell", { name: "2" }).waitFor();
  await harmless(page);
  await accessible(page);
  await show("report.json");
  await task.getByText('"said": [').waitFor();
  await show("work.patch");
  await task.getByText("1 file changed").waitFor();
  await task.getByRole("button", { name: /shout.txt/ }).waitFor();
  await task.getByText('<script>attacked("patch")</script>').waitFor();
  await accessible(page);
  for (const name of ["raw.txt", "all.zip"]) {
    await show(name);
    await task.getByText("No preview for this kind of file").waitFor();
  }
  await task.getByRole("tab", { name: /Changes/ }).click();
  await task.getByText("1 file changed").waitFor();
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    task
      .getByRole("tab", { name: /Files/ })
      .click()
      .then(() => task.getByRole("button", { name: "Download out/report.json" }).click()),
  ]);
  expect(file.suggestedFilename()).toBe("report.json");
  expect(await page.locator("main script, main iframe, main object").count()).toBe(0);
});

const told = `
job_type: told
params: {Words: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: work
    environment: {WORDS: "{{ Words }}", TOKEN: "{{ secrets.ApiToken }}", PLAIN: "a b"}
    timeout: 90s
    script: ['echo "said {{ Words }}"', 'test -n "$TOKEN"']
`;

test("what an ant was told is shown as it was sent, but for secrets, and can be copied", async ({ world }) => {
  await world.api.ask("PUT", "/api/v1/configs/ApiToken", { value: "correct-horse-battery", secret: true });
  await world.api.install(told);
  const job = await world.api.run("told", { Words: attack });
  expect(job.state).toBe("COMPLETED");
  const page = await world.open(`/jobs/${job.job_id}?task=work&tab=command`);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const task = page.getByRole("region", { name: "Task work" });
  const environment = task.getByRole("region", { name: "Environment" });
  await environment.getByRole("row", { name: /PLAIN/ }).getByText("a b").waitFor();
  await environment.getByRole("row", { name: /TOKEN/ }).getByText("Secret, not shown").waitFor();
  await environment.getByRole("row", { name: /WORDS/ }).getByText("<script>", { exact: false }).waitFor();
  await task.getByText("1 min 30 s").waitFor();
  await harmless(page);
  await accessible(page);
  await task.getByRole("button", { name: "Copy the script" }).click();
  await task.getByRole("button", { name: "Copied" }).waitFor();
  const script = await page.evaluate(() => navigator.clipboard.readText());
  expect(script).toContain('test -n "$TOKEN"');
  expect(script).toContain("said ");
  await task.getByText("As lines of a shell").click();
  await task.getByText("export PLAIN='a b'", { exact: false }).waitFor();
  expect(await environment.textContent()).not.toContain("correct-horse");
  await page.reload();
  await environment.getByRole("row", { name: /PLAIN/ }).waitFor();
});

test("an attempt that no ant was given says so, without asking for what is not there", async ({ world }) => {
  await world.api.install("job_type: asks\ntasks:\n  - {task_type: ask, approval: {message: Publish?}}\n");
  const id = await world.api.submit("asks");
  await world.api.state(id, "WAITING");
  const page = await world.open(`/jobs/${id}?task=ask&tab=command`, { phone: true });
  await page.getByText("No ant was told anything").waitFor();
  await fits(page);
  await accessible(page);
});

const greedy = agentOf("greedy", { usd: "1", turns: "6", more: "budget: {usd: 2}" });

test("a used-up budget is extended from the inbox, by no less than it was", async ({ world }) => {
  await world.api.install(greedy);
  const job = await world.api.submit("greedy");
  await world.api.state(job, "PAUSED");
  const page = await world.open("/", { phone: true });
  await page.getByText("Budget", { exact: true }).waitFor();
  const amount = page.getByLabel("US dollars");
  const go = page.getByRole("button", { name: "Extend and resume…" });
  await amount.fill("1");
  expect(await go.isDisabled()).toBe(true);
  await amount.fill("20");
  await fits(page);
  await accessible(page);
  await go.click();
  const dialog = page.getByRole("alertdialog");
  await dialog.getByText("$20.00 instead of $2.00").waitFor();
  await dialog.getByRole("button", { name: "Extend and resume" }).click();
  await page.getByText("The job goes on with the larger budget.").waitFor();
  expect((await world.api.ended(job)).state).toBe("COMPLETED");
});

test("a used-up budget is extended on the job's page", async ({ world }) => {
  await world.api.install(greedy);
  const job = await world.api.submit("greedy");
  await world.api.state(job, "PAUSED");
  const page = await world.open(`/jobs/${job}`);
  await page.getByRole("button", { name: "Resume…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("US dollars").fill("0.5");
  expect(await dialog.getByRole("button", { name: "Resume" }).isDisabled()).toBe(true);
  await dialog.getByLabel("US dollars").fill("20");
  await accessible(page);
  await dialog.getByRole("button", { name: "Resume" }).click();
  await page.getByText("The job goes on.").waitFor();
  const ended = await world.api.ended(job);
  expect([ended.state, ended.budget?.limits.usd]).toEqual(["COMPLETED", 20]);
});

test("items are folded into one task with their counts, and unfold as a list", async ({ world }) => {
  await world.api.install(...(await examplesOf("fan-out")));
  const { job_id: id } = await world.api.run("example-fan-out", { Broken: "cli" });
  const page = await world.open(`/jobs/${id}?task=build`);
  const picture = page.getByRole("region", { name: "The job" });
  await picture.getByText("3/3 · 1 failed").waitFor();
  expect(await picture.locator(".react-flow__node", { hasText: "build" }).count()).toBe(1);
  const task = page.getByRole("region", { name: "Task build" });
  await task.getByRole("tab", { name: /Items/ }).click();
  const items = task.getByRole("region", { name: "Items" });
  await items.getByRole("row", { name: /docs/ }).waitFor();
  expect(await items.locator("tbody tr").count()).toBe(3);
  await task.getByLabel("Show", { exact: true }).selectOption({ label: "Failed (1)" });
  await items.getByRole("row", { name: /docs/ }).waitFor({ state: "detached" });
  await items.getByRole("row", { name: /cli/ }).getByRole("button", { name: "log" }).click();
  await page.waitForURL(/attempt=/);
  const chosen = task.getByLabel("Attempt", { exact: true });
  await expect
    .poll(() => chosen.evaluate((list) => (list as HTMLSelectElement).selectedOptions[0]?.textContent))
    .toContain("item cli");
  await accessible(page);
});

test("jobs that a task has forked are a click away from its attempt, and lead back", async ({ world }) => {
  await world.api.install(...(await examplesOf("fork-child", "fan-out-forks-page", "fan-out-forks")));
  const { job_id: id, children } = await world.api.run("example-fan-out-forks");
  expect(children?.length).toBe(3);
  const page = await world.open(`/jobs/${id}?task=pages`);
  await page.getByRole("region", { name: "The job" }).getByText("3/3").waitFor();
  const task = page.getByRole("region", { name: "Task pages" });
  await task.getByRole("link", { name: /forked example-fan-out-forks-page/ }).click();
  await page.waitForURL((url) => children?.some((child) => url.pathname.endsWith(child.job_id)) === true);
  await page.getByRole("link", { name: "another job" }).click();
  await page.waitForURL((url) => url.pathname.endsWith(id));
});

const many = `
job_type: many
params: {Words: {type: array, required: true}}
tasks:
  - task_type: each
    fan_out: {items: "{{ Words }}", key: "{{ item }}", max_parallel: 4}
    script: ['echo "said {{ item }}"']
`;

const patient = { timeout: 30_000 };

test("the attempt that an address names is shown, or why it cannot be: never another one", async ({ world }) => {
  await world.api.install(many);
  const { job_id: id } = await world.api.run("many", {
    Words: Array.from({ length: 30 }, (_, at) => `word-${at + 1}`),
  });
  const { page, allow } = await world.sheet(`/jobs/${id}?task=each`);
  const task = page.getByRole("region", { name: "Task each" });
  const log = task.getByRole("region", { name: /^Log of attempt/ });
  const items = task.getByRole("region", { name: "Items" });
  await items.getByText("word-1", { exact: true }).waitFor();
  // Older ones than those that come with the job are asked for, and that takes a while.
  const asked = /\/api\/v1\/jobs\/[^/]+\/attempts\?/;
  let answer: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => {
    answer = resolve;
  });
  await page.route(asked, async (route) => {
    await wait;
    await route.continue();
  });
  await items
    .getByRole("row", { name: /word-1 / })
    .getByRole("button", { name: "log" })
    .click();
  await page.waitForURL(/attempt=/);
  const number = new URL(page.url()).searchParams.get("attempt");
  await task.getByText(`Loading attempt ${number}…`).waitFor();
  expect(await log.count()).toBe(0);
  answer();
  await log.getByText("said word-1", { exact: true }).waitFor();
  expect(await log.getAttribute("aria-label")).toBe(`Log of attempt ${number}`);
  await accessible(page);

  await page.unroute(asked);
  allow(/ERR_FAILED/);
  await page.route(asked, (route) => route.abort());
  await page.reload();
  const failed = task.getByRole("alert");
  await failed.waitFor();
  expect(await log.count()).toBe(0);
  await page.unroute(asked);
  await failed.getByRole("button", { name: "Try again" }).click();
  await log.getByText("said word-1", { exact: true }).waitFor();

  await page.goto(`${world.url}/jobs/${id}?task=each&attempt=99&tab=log`);
  await task.getByText("There is no attempt 99 here").waitFor();
  expect(await log.count()).toBe(0);
  await accessible(page);
  await task.getByRole("button", { name: "Show the latest" }).click();
  await log.waitFor();
  expect(new URL(page.url()).searchParams.has("attempt")).toBe(false);
  expect(await log.getAttribute("aria-label")).toBe("Log of attempt 30");

  // The latest stand with the job; the others come when they are wanted.
  const choices = task.getByLabel("Attempt", { exact: true }).locator("option");
  expect(await choices.count()).toBe(20);
  const older = task.getByRole("button", { name: "Older attempts" });
  await older.click();
  await expect.poll(() => choices.count(), patient).toBe(30);
  await older.waitFor({ state: "detached" });
});

test("what happened last is the first line of the history, and what came before is a click away", async ({ world }) => {
  await world.api.install(many);
  const { job_id: id } = await world.api.run("many", {
    Words: Array.from({ length: 40 }, (_, at) => `word-${at + 1}`),
  });
  const path = `/api/v1/jobs/${id}/events?limit=500`;
  const first = await world.api.ask<Api<"Page_EventResource">>("GET", path);
  const page = await world.open(`/jobs/${id}?view=details`);
  const rows = page.getByRole("list", { name: "History" }).getByRole("listitem");
  const more = page.getByRole("region", { name: "The job" }).getByRole("button", { name: "Show more" });
  await more.waitFor();
  expect(await rows.count()).toBe(100);
  const times = () =>
    rows.locator("time").evaluateAll((all) => all.map((each) => Date.parse(each.getAttribute("datetime") ?? "")));
  const latest = await times();
  expect(latest).toEqual(latest.toSorted((a, b) => b - a));
  await accessible(page);
  for (let count = 100; (await more.count()) > 0; count += 100) {
    await more.click();
    await expect.poll(() => rows.count(), patient).toBeGreaterThan(count);
  }
  expect((await times()).at(-1)).toBe(Date.parse(first.items[0]?.at ?? ""));
  expect(await rows.last().textContent()).toContain(first.items[0]?.kind.replaceAll("_", " "));
});

test("of more jobs than stand with the one that made them, the others are a click away", async ({ world }) => {
  await world.api.install(...(await examplesOf("fork-child", "fan-out-forks-page", "fan-out-forks")));
  const { job_id: id } = await world.api.run("example-fan-out-forks");
  const page = await world.open("/jobs");
  await page.route(`**/api/v1/jobs/${id}`, async (route) => {
    const job = (await (await route.fetch()).json()) as Api<"JobDetail">;
    const forked = { total: 1150, counts: { COMPLETED: 1150 } };
    const tasks = job.tasks.map((task) => (task.task_type === "pages" ? { ...task, forked } : task));
    await route.fulfill({ json: { ...job, tasks } });
  });
  await page.goto(`${world.url}/jobs/${id}?task=pages&view=details`);
  const all = { name: "All 1,150 jobs" };
  await page.getByRole("region", { name: "Task pages" }).getByRole("link", all).waitFor();
  await page.getByRole("region", { name: "The job" }).getByRole("link", all).click();
  await page.waitForURL(({ pathname, searchParams }) => pathname === "/jobs" && searchParams.get("parent") === id);
  await page.getByText("3 jobs, the newest first").waitFor();
});
