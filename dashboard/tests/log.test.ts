import { readFile } from "node:fs/promises";
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { accessible, tabTo, test } from "./harness";

const search = async (page: Page, text: string, result: RegExp) => {
  await page.getByPlaceholder("Search").fill(text);
  await expect
    .poll(() => page.getByRole("search").getByRole("status").textContent(), { timeout: 120_000 })
    .toMatch(result);
};

test("a million lines are searched with an expression, and every match is counted", async ({ world }) => {
  await world.api.install("job_type: million\ntasks:\n  - {task_type: count, script: [seq 1000000]}\n");
  const { job_id: id } = await world.api.run("million");
  const page = await world.open(`/jobs/${id}?task=count`);
  const task = page.getByRole("region", { name: "Task count" });
  await task.getByText("1,000,000 lines").waitFor();
  const regex = task.getByRole("button", { name: "Regular expression" });
  await regex.click();
  expect(await regex.getAttribute("aria-pressed")).toBe("true");
  // A search begins where the reader is: here at the end, otherwise.
  await task.getByLabel("Go to line").fill("1");
  await page.keyboard.press("Enter");
  await task.getByText("1", { exact: true }).nth(1).waitFor();
  // 11, 22, … 999999.
  await search(page, "^(\\d)\\1+$", /^1 of 45 lines$/);
  await task.getByText("11", { exact: true }).first().waitFor();
  for (const _ of [1, 2, 3]) await page.getByRole("button", { name: "Next match (Enter)" }).click();
  await search(page, "^(\\d)\\1+$", /^4 of 45 lines$/);
  await page.getByRole("button", { name: "Previous match (Shift+Enter)" }).click();
  await search(page, "^(\\d)\\1+$", /^3 of 45 lines$/);
  // 1 + 10 + 100 + 1000 + 10,000 numbers begin with 99.
  await search(page, "^99", / of 11,111 lines$/);
  await search(page, "7$", / of 100,000 lines$/);
  // Lines and matches are two counts: 600,000 sevens in 468,559 lines.
  await search(page, "7", /of 468,559 lines, 600,000 matches$/);
  await search(page, "(", /Unterminated group/);
  await search(page, "^x", /^No match$/);
  // The same as a text finds nothing.
  await regex.click();
  await search(page, "^99", /^No match$/);
  await accessible(page);
});

const grouped = `
job_type: grouped
tasks:
  - task_type: build
    script:
      - |
        echo before
        for each in one two three; do echo "::group::Step $each"; echo "inside $each"; echo "::endgroup::"; done
        echo after
`;

test("groups are folded by buttons that a finger meets, one by one or all at once", async ({ world }) => {
  await world.api.install(grouped);
  const { job_id: id } = await world.api.run("grouped");
  const page = await world.open(`/jobs/${id}?task=build`, { phone: true });
  const task = page.getByRole("region", { name: "Task build" });
  await task.getByText("inside two").waitFor();
  const fold = task.getByRole("button", { name: "Group", exact: true });
  expect(await fold.count()).toBe(3);
  for (const each of await fold.all()) {
    const box = await each.boundingBox();
    expect(box?.width).toBeGreaterThanOrEqual(24);
    expect(box?.height).toBeGreaterThanOrEqual(24);
  }
  await fold.nth(1).click();
  await task.getByText("inside two").waitFor({ state: "detached" });
  await task.getByText("inside three").waitFor();
  expect(await fold.nth(1).getAttribute("aria-expanded")).toBe("false");
  await accessible(page);
  await task.getByRole("button", { name: "Unfold all groups" }).click();
  await task.getByText("inside two").waitFor();
  await task.getByRole("button", { name: "Fold all groups" }).click();
  for (const each of ["one", "two", "three"]) await task.getByText(`inside ${each}`).waitFor({ state: "detached" });
  await task.getByText("after").waitFor();
});

const wordy = `
job_type: wordy
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: say, script: ['seq -f "line %g" 400; seq -s " " 1000']}
`;

const patient = { timeout: 30_000 };

/** The numbers of the lines that are to be seen. */
const seen = (task: Locator) =>
  task.locator("[data-line] .log-number").evaluateAll((all) => all.map((each) => Number(each.textContent)));

const number = (task: Locator, line: number) => task.locator(`[data-number="${line - 1}"]`);

test("long lines are wrapped and times are shown when one wants it, and the browser remembers both", async ({
  world,
}) => {
  await world.api.install(wordy);
  const { job_id: id } = await world.api.run("wordy");
  const page = await world.open(`/jobs/${id}?task=say`);
  const task = page.getByRole("region", { name: "Task say" });
  const long = task.locator("[data-line]", { hasText: "998 999 1000" });
  await long.waitFor();
  const height = async () => (await long.boundingBox())?.height ?? 0;
  const row = await height();
  const wrap = task.getByRole("button", { name: "Wrap long lines" });
  expect(await wrap.getAttribute("aria-pressed")).toBe("false");
  await wrap.click();
  // The end stays in sight, though it has become longer.
  await expect.poll(height, patient).toBeGreaterThan(5 * row);
  const times = task.getByLabel("Times");
  const shown = task.locator("[data-line] .log-time").last();
  expect(await shown.count()).toBe(0);
  await times.selectOption("Clock");
  await expect.poll(() => shown.textContent(), patient).toMatch(/^\d\d:\d\d:\d\d\.\d{3}$/);
  await times.selectOption("Since start");
  await expect.poll(() => shown.textContent(), patient).toMatch(/^\+\d/);
  await accessible(page);
  await page.reload();
  await long.waitFor();
  expect(await wrap.getAttribute("aria-pressed")).toBe("true");
  await expect.poll(height, patient).toBeGreaterThan(5 * row);
  await expect.poll(() => shown.textContent(), patient).toMatch(/^\+\d/);
  await wrap.click();
  await expect.poll(height, patient).toBe(row);
  await times.selectOption("No times");
  await shown.waitFor({ state: "detached" });
});

test("lines are chosen by their numbers, and copied, linked to and downloaded", async ({ world }) => {
  await world.api.install(wordy);
  const { job_id: id } = await world.api.run("wordy");
  const page = await world.open(`/jobs/${id}?task=say#log1-L200`);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  const task = page.getByRole("region", { name: "Task say" });
  const marked = task.locator("[data-line].log-selected");
  await marked.getByText("line 200").waitFor();
  expect(await seen(task)).not.toContain(400);
  await number(task, 205).click();
  // With the attempt, so that it leads there after a retry too.
  await page.waitForURL(/task=say&attempt=1&tab=log#log1-L205$/);
  await expect.poll(() => marked.count(), patient).toBe(1);
  await marked.getByText("line 205").waitFor();
  await number(task, 202).click({ modifiers: ["Shift"] });
  await page.waitForURL(/#log1-L202-L205$/);
  await expect.poll(() => marked.count(), patient).toBe(4);
  await accessible(page);
  await task.getByRole("button", { name: "Copy the selected lines" }).click();
  await task.getByText("4 lines copied.").waitFor();
  expect(await copied()).toBe("line 202\nline 203\nline 204\nline 205");
  await task.getByRole("button", { name: "Copy a link to the selected lines" }).click();
  await task.getByText("Link copied.").waitFor();
  const link = new URL(await copied());

  const other = await world.open(`${link.pathname}${link.search}${link.hash}`, { phone: true });
  const there = other.getByRole("region", { name: "Task say" });
  await there.locator("[data-line].log-selected").getByText("line 205").waitFor();
  expect(await there.locator("[data-line].log-selected").count()).toBe(4);
  expect(await there.getByRole("button", { name: "Stay at the end" }).getAttribute("aria-pressed")).toBe("false");

  // A second click lets go of a line; without one, the whole log is copied.
  await number(task, 203).click();
  await page.waitForURL(/#log1-L203$/);
  await number(task, 203).click();
  await page.waitForURL((url) => url.hash === "");
  await marked.waitFor({ state: "detached" });
  await task.getByRole("button", { name: "Copy the log" }).click();
  await task.getByText("401 lines copied.").waitFor();
  const whole = await copied();
  expect(whole.split("\n").slice(0, 2)).toEqual(["line 1", "line 2"]);
  expect(whole).toMatch(/\nline 400\n1 2 3 .* 1000$/);
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    task.getByRole("button", { name: "Download the log" }).click(),
  ]);
  expect(file.suggestedFilename()).toBe(`${id}-1.log`);
  expect(await readFile(await file.path(), "utf8")).toBe(`${whole}\n`);
});

test("lines are chosen by keyboard alone, one or all up to another", async ({ world }) => {
  await world.api.install(wordy);
  const { job_id: id } = await world.api.run("wordy");
  const page = await world.open(`/jobs/${id}?task=say`);
  const task = page.getByRole("region", { name: "Task say" });
  const marked = task.locator("[data-line].log-selected");
  await number(task, 400).waitFor();
  await tabTo(page, "Go to line");
  const say = async (line: string, key: string) => {
    await page.keyboard.press("Control+a");
    await page.keyboard.type(line);
    await page.keyboard.press(key);
  };
  await say("205", "Enter");
  await page.waitForURL(/#log1-L205$/);
  await say("202", "Shift+Enter");
  await page.waitForURL(/#log1-L202-L205$/);
  await expect.poll(() => marked.count(), patient).toBe(4);
  // What is there is counted, not what was asked for; and without Shift it is one line again.
  await say("9999", "Shift+Enter");
  await page.waitForURL(/#log1-L202-L401$/);
  await say("7", "Enter");
  await page.waitForURL(/#log1-L7$/);
  await expect.poll(() => marked.count(), patient).toBe(1);
  await marked.getByText("line 7").waitFor();
});

const coloured = `
job_type: coloured
tasks:
  - task_type: paint
    script:
      - printf 'none \\033[31mred\\033[0m \\033[1;44mbold on blue\\033[0m \\033[38;2;0;128;0mown\\033[0m\\n'
`;

test("colours that a program prints are shown as colours, and their codes are not", async ({ world }) => {
  await world.api.install(coloured);
  const { job_id: id } = await world.api.run("coloured");
  const page = await world.open(`/jobs/${id}?task=paint`);
  const line = page.getByRole("region", { name: "Task paint" }).locator("[data-line]", { hasText: "bold on blue" });
  await line.waitFor();
  expect(await line.locator(".log-text").textContent()).toBe("none red bold on blue own");
  const looks = await line.locator(".log-text > span").evaluateAll((all) =>
    all.map((each) => {
      const { color, backgroundColor, fontWeight } = getComputedStyle(each);
      return { text: each.textContent?.trim() ?? "", color, backgroundColor, fontWeight };
    }),
  );
  const of = (text: string) => looks.find((each) => each.text === text);
  const [none, red, blue, own] = [of("none"), of("red"), of("bold on blue"), of("own")];
  expect(new Set([none?.color, red?.color, own?.color]).size).toBe(3);
  expect(blue?.color).toBe(none?.color);
  expect(blue?.backgroundColor).not.toBe(none?.backgroundColor);
  expect([Number(none?.fontWeight), Number(blue?.fontWeight)]).toEqual([400, 700]);
  await accessible(page);
});

const tall = `
job_type: tall
tasks:
  - {task_type: say, script: ['seq 400 | while read n; do echo "line $n $(seq -s " " 150)"; done']}
`;

test("wrapping long lines leaves the reader where one is", async ({ world }) => {
  await world.api.install(tall);
  const { job_id: id } = await world.api.run("tall");
  const page = await world.open(`/jobs/${id}?task=say#log1-L200`);
  const task = page.getByRole("region", { name: "Task say" });
  await number(task, 200).waitFor();
  const [first] = await seen(task);
  const wrap = task.getByRole("button", { name: "Wrap long lines" });
  for (const pressed of ["true", "false"]) {
    await wrap.click();
    await expect.poll(() => wrap.getAttribute("aria-pressed")).toBe(pressed);
    await expect.poll(async () => (await seen(task))[0], patient).toBe(first);
  }
});

const growing = `
job_type: growing
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: count
    environment: {GO: "{{ Go }}"}
    script:
      - |
        for part in 1 2 3 4; do
          while [ ! -e "$GO-$part" ]; do sleep 0.1; done
          seq $((part * 300 - 299)) $((part * 300))
        done
`;

test("the end is followed until one lets go of it, and who comes back is where one was", async ({ world }) => {
  await world.api.install(growing);
  const id = await world.api.submit("growing", { Go: `${world.server.directory}/go` });
  const page = await world.open(`/jobs/${id}?task=count`);
  const task = page.getByRole("region", { name: "Task count" });
  const more = async (part: number) => {
    await world.server.file(`go-${part}`, "");
    await task.getByText(`${(part * 300).toLocaleString("en")} lines`).waitFor();
  };
  const last = async () => (await seen(task)).at(-1);
  const end = task.getByRole("button", { name: "Stay at the end" });
  const follows = () => end.getAttribute("aria-pressed");
  await more(1);
  await expect.poll(last, patient).toBe(300);
  await end.click();
  await expect.poll(follows, patient).toBe("false");
  await more(2);
  expect(await last()).toBe(300);
  await end.click();
  await expect.poll(last, patient).toBe(600);
  expect(await follows()).toBe("true");
  // Who scrolls away wants to read.
  await task.getByRole("region", { name: /^Log of attempt/ }).hover();
  const [before = 0] = await seen(task);
  await page.mouse.wheel(0, -200 * 24);
  await expect.poll(follows, patient).toBe("false");
  const first = before - 200;
  await expect.poll(async () => (await seen(task))[0], patient).toBe(first);
  await more(3);
  expect((await seen(task))[0]).toBe(first);
  const back = async () => await expect.poll(async () => (await seen(task))[0], patient).toBe(first);
  await task.getByRole("tab", { name: /Files/ }).click();
  await number(task, first).waitFor({ state: "detached" });
  await task.getByRole("tab", { name: /Log/ }).click();
  await back();
  await page.getByRole("link", { name: "Jobs", exact: true }).first().click();
  await page.getByText("1 job, the newest first").waitFor();
  await page.goBack();
  await back();
  expect(await follows()).toBe("false");
  // At the end one stays there.
  await task.getByRole("region", { name: /^Log of attempt/ }).press("End");
  await expect.poll(follows, patient).toBe("true");
  await more(4);
  await expect.poll(last, patient).toBe(1200);
});
