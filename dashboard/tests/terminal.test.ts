import type { Page } from "playwright-core";
import { expect } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, Client, fits, harmless, tabTo, test, World } from "./harness";

const esc = "\\033";
/** A shell of a task, as people have it in a terminal; `before` is what it prints first. */
const shell = (before = "") => `
job_type: shell
tasks:
  - task_type: talk
    tty: true
    shell: [sh, -u]
    environment: {PS1: "ready> "}
    script: [${JSON.stringify(`${before}\nexec sh -i`)}]
`;

/** A program in a terminal runs: its job, and its page. */
async function begun(world: World, definition = shell()): Promise<{ id: string; path: string }> {
  await world.api.install(definition);
  const id = await world.api.submit("shell");
  await world.api.until(id, ({ tasks }) => tasks[0]?.attempt_list?.at(-1)?.state === "RUNNING");
  return { id, path: `/jobs/${id}/attempts/1/terminal` };
}

const screen = (page: Page) => page.getByRole("group", { name: "Terminal of talk" });
const shown = (page: Page, text: string | RegExp) => screen(page).getByText(text).first().waitFor();

async function type(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Type" }).click();
  await page.getByText("You are typing").waitFor();
}

/** What was printed so far, by the server's record of it. */
async function printed(world: World, id: string): Promise<string> {
  return await (await fetch(`${world.server.url}/api/v1/jobs/${id}/attempts/1/log`)).text();
}

/** Makes tokens for people; from then on the server asks everybody for one. */
async function people<Name extends string>(world: World, roles: Record<Name, Api<"Role">>) {
  const api = new Client(world.server.url, await world.api.token("root", "admin", "root"));
  const looks = {} as Record<Name, { token: string }>;
  for (const name of Object.keys(roles) as Name[]) looks[name] = { token: await api.token(name, roles[name], name) };
  return { api, ...looks };
}

test("a person watches a terminal, types into it, interrupts it and ends it, and all of it is recorded", async ({
  world,
}) => {
  const { id } = await begun(world);
  const page = await world.open(`/jobs/${id}?task=talk`);
  await page.getByRole("link", { name: "Terminal" }).click();
  await page.getByRole("heading", { name: "Terminal of talk" }).waitFor();
  await shown(page, "ready>");
  await accessible(page);
  // Before one has asked to type, keys are the page's.
  await screen(page).click();
  await page.keyboard.type("touch forbidden\n");
  await type(page);
  await page.keyboard.type("echo six times seven is $((6*7))\n");
  await shown(page, "six times seven is 42");
  await page.keyboard.type("sleep 1000; echo slept\n");
  await page.keyboard.press("Control+c");
  await page.keyboard.type("tty | sed s,/[0-9].*,,; echo tty:$?\n");
  await shown(page, "/dev/pts");
  await accessible(page);
  await page.keyboard.type("exit 0\n");
  expect((await world.api.ended(id)).state).toBe("COMPLETED");
  await page.getByText("The attempt has ended; this is what it printed.").waitFor();
  expect(await page.getByRole("button", { name: "Type" }).isDisabled()).toBe(true);
  const log = await printed(world, id);
  expect(log).toContain("six times seven is 42");
  expect(log).not.toContain("forbidden");
  expect(log).not.toContain("\nslept");
  const path = "/api/v1/audit?limit=200";
  const { items } = await world.api.ask<{ items: { action: string; detail?: string }[] }>("GET", path);
  const actions = items.map((each) => each.action);
  expect(actions).toEqual(expect.arrayContaining(["terminal.open", "terminal.input", "terminal.close"]));
  // The newest come first; what is typed slowly stands in several.
  const inputs = items.filter((each) => each.action === "terminal.input").reverse();
  expect(inputs.map((each) => each.detail).join("")).toContain("echo six times seven is");
});

test("the program knows how large the page of whoever types is", async ({ world }) => {
  const { path } = await begun(world);
  const page = await world.open(path);
  await type(page);
  await page.keyboard.type("stty size\n");
  await shown(page, /^\d+ \d{2,}\s*$/);
  const size = async () =>
    (
      await screen(page)
        .getByText(/^\d+ \d{2,}\s*$/)
        .last()
        .textContent()
    )?.trim();
  const before = await size();
  await page.setViewportSize({ width: 900, height: 600 });
  await expect
    .poll(
      async () => {
        await page.keyboard.type("stty size\n");
        return await size();
      },
      { timeout: 60_000, interval: 500 },
    )
    .not.toBe(before);
  await fits(page);
});

test("typing goes on when the server was killed, and nothing is typed twice", async ({ world }) => {
  const { id, path } = await begun(world);
  const { page, allow } = await world.sheet(path);
  // The server that comes back knows nothing of sessions.
  allow(/status of 410/);
  await type(page);
  await page.keyboard.type("echo before\n");
  await shown(page, /^before/);
  await world.restart(async () => {
    await page.getByText("Connection lost; going on where it was…").waitFor();
  });
  await page.getByText("Live", { exact: true }).last().waitFor();
  await page.keyboard.type("echo after\n");
  await shown(page, /^after/);
  await page.getByText("You type in a new one now").waitFor();
  await page.keyboard.type("exit 0\n");
  await world.api.ended(id);
  expect((await printed(world, id)).match(/^after/gm)).toHaveLength(1);
});

test("one person types at a time; another one is told who it is, and can take over", async ({ world }) => {
  const { id, path } = await begun(world);
  const tokens = await people(world, { ann: "operator", bob: "operator", eve: "viewer" });
  const ann = await world.sheet(path, tokens.ann);
  const bob = await world.sheet(path, tokens.bob);
  const eve = await world.open(path, tokens.eve);
  for (const { allow } of [ann, bob]) allow(/status of 4(09|10)/);
  await type(ann.page);
  await ann.page.keyboard.type("echo by ann\n");
  await shown(eve, /^by ann/);

  await eve.getByText("Read-only: to type, the role operator is needed; you have viewer.").waitFor();
  expect(await eve.getByRole("button", { name: "Type" }).isDisabled()).toBe(true);

  await bob.page.getByRole("button", { name: "Type" }).click();
  await bob.page.getByRole("status").getByText("ann").first().waitFor();
  await bob.page.getByRole("button", { name: "Take over…" }).click();
  const dialog = bob.page.getByRole("alertdialog");
  await dialog.getByText("Their session ends at once").waitFor();
  await accessible(bob.page);
  await dialog.getByRole("button", { name: "Take over" }).click();
  await bob.page.getByText("You are typing").waitFor();
  await bob.page.keyboard.type("echo by bob\n");
  await shown(eve, /^by bob/);

  await ann.page.keyboard.type("x");
  await ann.page.getByRole("status").getByText("bob").first().waitFor();
  await ann.page.getByRole("button", { name: "Take over…" }).waitFor();
  const { items } = await tokens.api.ask<Api<"Page_AuditEntry">>("GET", "/api/v1/audit?limit=200");
  expect(items.map((each) => each.action)).toContain("terminal.take_over");
  await tokens.api.ask("POST", `/api/v1/jobs/${id}/cancel`, {});
  await bob.page.getByText("The attempt has ended; this is what it printed.").waitFor();
});

test("a terminal is left by keyboard, and read out", async ({ world }) => {
  const { path } = await begun(world);
  const page = await world.open(path);
  await tabTo(page, "Type");
  await page.keyboard.press("Enter");
  await page.getByText("You are typing").waitFor();
  await page.keyboard.press("Control+Shift+F6");
  await expect.poll(() => page.locator(":focus").textContent()).toContain("Stop typing");
  await page.keyboard.press("Enter");
  await page.getByText("Read-only: no key reaches the program.").waitFor();
  await page.getByRole("button", { name: "For screen readers" }).click();
  await accessible(page);
  await screen(page).getByRole("list").waitFor();
  // Whoever only reads goes on with Tab.
  await screen(page).click();
  await tabTo(page, /Skip to the page|Find|Now/);
});

test("what a program prints draws characters, and does nothing else with the page", async ({ world }) => {
  const hostile = [
    `printf '${esc}]52;c;aGFja2Vk\\007${esc}]52;c;?\\007'`,
    `printf '${esc}]0;attacked\\007${esc}]2;attacked\\007${esc}[21t'`,
    `printf '${esc}]8;;javascript:attacked(1)\\007bad link${esc}]8;;\\007 ${esc}]8;;https://good.example/x\\007web link${esc}]8;;\\007\\n'`,
    `printf '<img src=x onerror=attacked(2)> ${esc}[38;2;255;0;0mred${esc}[0m ${esc}[c${esc}[6n${esc}[?1004h\\n'`,
    "echo printed",
  ].join("\n");
  const { id, path } = await begun(world, shell(hostile));
  const { page } = await world.sheet(path);
  const asked: string[] = [];
  page.on("request", (request) => /terminal/.test(request.url()) && asked.push(request.method()));
  await shown(page, "printed");
  await harmless(page);
  expect(await page.title()).toContain("Terminal of talk · Atta");
  expect(await page.title()).not.toContain("attacked");
  expect(await screen(page).locator("img").count()).toBe(0);
  const clicked = async (text: string) => {
    const box = await screen(page).getByText(text).first().boundingBox();
    if (box === null) throw new Error(`${text} is not shown`);
    await page.mouse.move(box.x + 5, box.y + 5);
    await page.mouse.move(box.x + 12, box.y + 6);
    await page.mouse.click(box.x + 12, box.y + 6);
  };
  await clicked("bad link");
  expect(await page.getByRole("alertdialog").count()).toBe(0);
  await clicked("web link");
  const dialog = page.getByRole("alertdialog");
  await dialog.getByText("https://good.example/x").waitFor();
  await accessible(page);
  await dialog.getByRole("button", { name: "Leave it" }).click();
  // Nothing was answered while nobody typed, and what was asked then is not answered later.
  expect(asked).toEqual([]);
  await type(page);
  await page.keyboard.type("echo typed\n");
  await shown(page, /^typed/);
  expect(await printed(world, id)).not.toContain("[?1;2c");
});

test("a terminal fits a phone", async ({ world }) => {
  const { path } = await begun(world);
  const page = await world.open(path, { phone: true, dark: true });
  await shown(page, "ready>");
  await fits(page);
  await accessible(page);
  await type(page);
  await fits(page);
});

test("a task without a terminal says how to get one", async ({ world }) => {
  await world.api.install("job_type: plain\ntasks:\n  - {task_type: one, script: [echo one]}\n");
  const { job_id: id } = await world.api.run("plain");
  const page = await world.open(`/jobs/${id}/attempts/1/terminal`);
  await page.getByText("tty: true").waitFor();
  await accessible(page);
});

test("a server lets so many people type at a time, and says to others that they have to wait", async () => {
  const world = await World.start(["--slots", "2", "--terminal-sessions", "1"]);
  try {
    const first = await world.open((await begun(world)).path);
    const { page, allow } = await world.sheet((await begun(world)).path);
    allow(/status of (429|503)/);
    await shown(page, "ready>");
    await type(first);
    await page.getByRole("button", { name: "Type" }).click();
    await page.getByRole("status").getByText("1 terminals are typed into already").waitFor();
    // Nobody types here whom one could take it from.
    expect(await page.getByRole("button", { name: "Take over…" }).count()).toBe(0);
    await accessible(page);
    const closed = first.waitForResponse((answer) => answer.request().method() === "DELETE");
    await first.getByRole("button", { name: "Stop typing" }).click();
    await closed;
    await type(page);
  } finally {
    await world.stop();
  }
});
