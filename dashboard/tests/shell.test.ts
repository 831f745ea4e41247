import type { Page } from "playwright-core";
import { expect } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, Client, fits, live, loaded, test, World } from "./harness";

test("a page goes on by itself when the server comes back", async ({ world }) => {
  const page = await world.open("/audit");
  await page.getByRole("status").getByText("Live").waitFor();
  await world.restart(async () => {
    await page.getByRole("status").getByText("Reconnecting").waitFor();
  });
  await page.getByRole("status").getByText("Live").waitFor();
});

test("every page says what it is, and people with a keyboard, a reader or a phone can use what is around it", async ({
  world,
}) => {
  const page = await world.open("/ants", { phone: true });
  await accessible(page);
  await fits(page);
  expect(await page.title()).toContain("Atta");
});

test("one goes from any page to any other without loading anything anew", async ({ world }) => {
  await world.api.install("job_type: hello\ntasks:\n  - {task_type: greet, script: [echo hello]}\n");
  await world.api.run("hello");
  const page = await world.open("/");
  await page.evaluate(() => document.body.setAttribute("data-same", "yes"));
  const links = page.getByRole("navigation", { name: "Pages" }).getByRole("link");
  const names = (await links.allTextContents()).map((name) => name.trim());
  expect(names.length).toBe(12);
  // There and back: what one page has asked for is what the next one finds.
  for (const name of [...names, ...names.toReversed()]) {
    await links.filter({ hasText: name }).click();
    await page.getByRole("heading", { level: 1, name: name === "Configs" ? "Configs and secrets" : name }).waitFor();
    await loaded(page);
    expect(await page.getByRole("main").getByRole("alert").allTextContents(), name).toEqual([]);
  }
  expect(await page.evaluate(() => document.body.getAttribute("data-same"))).toBe("yes");
});

const waits = `
job_type: waits
params: {Go: {required: true}}
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: wait, script: ['while [ ! -e "$GO" ]; do sleep 0.1; done'], environment: {GO: "{{ Go }}"}}
`;

const pageOf = (page: Page, name: string) =>
  page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true });

test("a request that fails leaves what is there, and says above it that it may be out of date", async ({ world }) => {
  await world.api.install("job_type: hello\ntasks:\n  - {task_type: greet, script: [echo hello]}\n");
  const { page, allow } = await world.sheet("/");
  allow(/status of 500/);
  const said = page.getByText("This could not be asked for again: the disk is full");
  const fails = async (asked: RegExp) => {
    await live(page);
    await page.route(asked, (route) =>
      route.fulfill({
        status: 500,
        contentType: "application/problem+json",
        body: JSON.stringify({ title: "Internal error", status: 500, code: "INTERNAL", detail: "the disk is full" }),
      }),
    );
    await world.api.run("hello");
    await said.waitFor();
    await live(page);
    await accessible(page);
    await page.unroute(asked);
    await page.getByRole("button", { name: "Try again" }).click();
    await said.waitFor({ state: "detached" });
  };
  await page.getByText("Nothing runs").waitFor();
  await fails(/\/api\/v1\/approvals/);
  await page.getByText("Nothing runs").waitFor();
  await pageOf(page, "Ants").click();
  const row = page.getByRole("row", { name: /local/ });
  await row.waitFor();
  await fails(/\/api\/v1\/ants/);
  await row.waitFor();
});

test("what one has just done is in the audit when one comes back to it", async () => {
  const world = await World.start();
  try {
    const token = await world.api.token("admin", "admin", "ada");
    await new Client(world.server.url, token).token("spare", "viewer", "vera");
    const page = await world.open("/audit", { token });
    const done = (action: string) => page.getByRole("cell", { name: action, exact: true });
    await done("create_token").first().waitFor();
    expect(await done("revoke_token").count()).toBe(0);
    await pageOf(page, "Tokens").click();
    await page.getByRole("button", { name: "Revoke spare" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByText("spare is revoked.").waitFor();
    await pageOf(page, "Audit").click();
    await done("revoke_token").waitFor();
  } finally {
    await world.stop();
  }
});

test("keys of one letter can be turned off in this browser, and the palette has what they do", async ({ world }) => {
  const page = await world.open("/ants");
  const list = page.getByRole("dialog").filter({ hasText: "Keys of one letter" });
  const field = page.getByPlaceholder("Find jobs, definitions, pages, actions");
  const ofOne = page.getByRole("checkbox", { name: /^Keys of one letter/ });
  await page.getByRole("row", { name: /local/ }).waitFor();
  await page.keyboard.press("?");
  await list.getByText("Show this list of keys").waitFor();
  await ofOne.uncheck();
  await list.getByText("Show this list of keys").waitFor({ state: "detached" });
  await list.getByText("Find jobs, definitions, pages, actions").waitFor();
  await accessible(page);
  await page.keyboard.press("Escape");
  await list.waitFor({ state: "detached" });

  for (const once of ["at once", "after the page was loaded anew"]) {
    for (const key of ["?", "g", "j"]) await page.keyboard.press(key);
    // Keys with another one still work, and what was pressed before has done nothing.
    await page.keyboard.press("Control+k");
    await field.waitFor();
    expect(await list.count(), once).toBe(0);
    expect(new URL(page.url()).pathname, once).toBe("/ants");
    await page.keyboard.press("Escape");
    await field.waitFor({ state: "detached" });
    await page.reload();
    await page.getByRole("row", { name: /local/ }).waitFor();
  }

  await page.keyboard.press("Control+k");
  await field.fill("show keys");
  await page.getByRole("option", { name: "Show the list of keys" }).click();
  await ofOne.check();
  await page.keyboard.press("Escape");
  await list.waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await list.getByText("Show this list of keys").waitFor();
});

test("what runs turns, and stands still for those who have asked for that", async ({ world }) => {
  await world.api.install(waits);
  const job = await world.api.submit("waits", { Go: `${world.server.directory}/go` });
  await world.api.until(job, ({ tasks }) => tasks[0]?.state === "RUNNING");
  // How long the marks of what runs turn, in seconds, and how often; the graph has one, and so has the job.
  const turns = async (motion: boolean) => {
    const page = await world.open(`/jobs/${job}`, { motion });
    await page.locator(".react-flow__node .animate-spin").waitFor();
    return await page.locator(".animate-spin").evaluateAll((marks) =>
      marks.map((mark) => {
        const { animationName, animationDuration, animationIterationCount } = getComputedStyle(mark);
        return `${animationName} ${Number.parseFloat(animationDuration) >= 0.1 ? animationIterationCount : "still"}`;
      }),
    );
  };
  const moving = await turns(true);
  expect(moving.length).toBeGreaterThan(1);
  expect(new Set(moving)).toEqual(new Set(["spin infinite"]));
  const still = await turns(false);
  expect(still.length).toBe(moving.length);
  expect(new Set(still)).toEqual(new Set(["spin still"]));
});

test("light, dark, or as the system has it: what one chooses stays", async ({ world }) => {
  const page = await world.open("/ants", { dark: true });
  await page.getByRole("row", { name: /local/ }).waitFor();
  const theme = () =>
    page.evaluate(() => ({
      asked: document.documentElement.dataset.theme,
      scheme: getComputedStyle(document.documentElement).colorScheme,
    }));
  const shown = async (name: "system" | "light" | "dark", scheme: "light" | "dark") => {
    await page.getByRole("button", { name: new RegExp(`^Theme: ${name}`) }).waitFor();
    expect(await theme()).toEqual({ asked: scheme, scheme });
    await accessible(page);
  };
  await shown("system", "dark");
  for (const [name, scheme] of [
    ["light", "light"],
    ["dark", "dark"],
    ["system", "dark"],
  ] as const) {
    await page.getByRole("button", { name: /^Theme: / }).click();
    await shown(name, scheme);
    await page.reload();
    await shown(name, scheme);
    if (name === "dark") {
      // Who has chosen keeps that, whatever the system does.
      await page.emulateMedia({ colorScheme: "light" });
      await shown("dark", "dark");
      await page.emulateMedia({ colorScheme: "dark" });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await expect.poll(theme).toEqual({ asked: "light", scheme: "light" });
});

test("the browser tells of what needs somebody and of what ends, once one has asked for it", async ({ world }) => {
  await world.api.install(
    waits,
    "job_type: asks\ntasks:\n  - {task_type: ask, approval: {users: [ann], message: Publish it?}}\n",
  );
  // A name is told only of a job that the page has seen at work.
  const page = await world.open("/");
  await page.context().grantPermissions(["notifications"]);
  // A browser of tests has nowhere to show them, and takes every page for one that is looked at.
  await page.addInitScript(() => {
    const shown: string[] = [];
    Object.assign(window, { shown });
    const { permission, requestPermission } = Notification;
    window.Notification = class {
      static permission = permission;
      static requestPermission = requestPermission.bind(Notification);
      constructor(title: string, { body }: NotificationOptions) {
        shown.push(`${title}: ${body}`);
      }
    } as unknown as typeof Notification;
    Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
  });
  await page.reload();
  const shown = () => page.evaluate(() => (window as unknown as { shown: string[] }).shown);
  const choose = async (name: string, said: string) => {
    await page.getByRole("button", { name: /^Notifications of the browser/ }).click();
    await page.getByRole("menuitemradio", { name, exact: true }).click();
    await page.getByText(said).waitFor();
    await page.getByRole("button", { name: `Notifications of the browser: ${name}` }).waitFor();
  };
  const run = async (go: string) => {
    const job = await world.api.submit("waits", { Go: `${world.server.directory}/${go}` });
    await page.locator(`a[href="/jobs/${job}"]`).waitFor();
    await world.server.file(go, "");
    await world.api.ended(job);
    await page.getByText("Nothing runs").waitFor();
  };
  await live(page);
  await run("one");
  await page.getByRole("button", { name: "Notifications of the browser: Nothing" }).waitFor();
  await choose("What needs me, and jobs that end", "You are told of what needs you and of jobs that end");
  await run("two");
  await expect.poll(shown, { timeout: 60_000 }).toEqual(["waits completed: "]);

  await page.reload();
  await page.getByRole("button", { name: "Notifications of the browser: What needs me, and jobs that end" }).waitFor();
  await choose("What needs me", "You are told of what needs you while");
  await live(page);
  await run("three");
  await world.api.state(await world.api.submit("asks"), "WAITING");
  await expect.poll(shown, { timeout: 60_000 }).toEqual(["Atta needs you: Publish it?"]);

  await choose("Nothing", "Notifications are off.");
});

test("a server that asks for a token gets one from the person who has it", async () => {
  const world = await World.start(["--auth", "required"]);
  try {
    const { page, allow } = await world.sheet("/");
    allow(/401/);
    await page.getByRole("heading", { name: "Sign in to Atta" }).waitFor();
    await accessible(page);
  } finally {
    await world.stop();
  }
});

test("a token is typed in, does what it may, and is refused with the reason when it is no good any more", async () => {
  const world = await World.start();
  try {
    // There has to be an admin who takes the token back.
    const admin = new Client(world.server.url, await world.api.token("admin", "admin", "ada"));
    const made = await admin.ask<Api<"NewToken">>("POST", "/api/v1/tokens", {
      name: "vera",
      role: "viewer",
      user: "vera",
    });
    await world.api.install("job_type: hello\ntasks:\n  - {task_type: greet, script: [echo hello]}\n");
    const { page, allow } = await world.sheet("/");
    allow(/401|429/);
    await page.evaluate(() => sessionStorage.setItem("atta.token", "atta_half"));
    await page.reload();
    await page.getByText("this is not a whole token of Atta").waitFor();
    await accessible(page);
    const field = page.getByLabel("API token");
    await field.fill("my tökén");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This is no token").waitFor();
    await field.fill(made.value);
    await page.getByRole("button", { name: "Sign in" }).click();
    const person = page.getByRole("complementary");
    await person.getByText("vera").waitFor();
    await live(page);

    await person.getByRole("button", { name: "Sign out" }).click();
    await person.getByText("vera").waitFor({ state: "detached" });
    expect(await page.evaluate(() => sessionStorage.getItem("atta.token"))).toBeNull();

    await page.evaluate((value) => sessionStorage.setItem("atta.token", value), made.value);
    await page.reload();
    await person.getByText("vera").waitFor();
    await live(page);
    await admin.ask("DELETE", `/api/v1/tokens/${made.token.token_id}`);
    // The stream goes on; what happens makes the page ask for something.
    await admin.run("hello");
    await page.getByText("this token was revoked").waitFor();
    await page.getByRole("button", { name: "forget this one" }).click();
    await page.getByText("Nothing runs").waitFor();
    expect(await page.evaluate(() => sessionStorage.getItem("atta.token"))).toBeNull();
  } finally {
    await world.stop();
  }
});

test("seven tabs of one browser all show what happens, whichever of them is closed", async ({ world }) => {
  await world.api.install(waits);
  const submit = async (go: string) => await world.api.submit("waits", { Go: `${world.server.directory}/${go}` });
  const one = await submit("one");
  const first = await world.open("/");
  const others: Page[] = [];
  while (others.length < 6) others.push(await world.beside(first, "/"));
  const shows = async (job: string) => {
    for (const tab of others) await tab.locator(`a[href="/jobs/${job}"]`).first().waitFor();
  };
  for (const tab of [first, ...others]) await live(tab);
  await shows(one);
  const two = await submit("two");
  await shows(two);
  // The first one has the stream; another takes it over.
  await first.close();
  const three = await submit("three");
  await shows(three);
  for (const go of ["one", "two", "three"]) await world.server.file(go, "");
  for (const tab of others) await tab.getByText("Nothing runs").waitFor();
});

test("what had the focus has it again when a dialog closes", async ({ world }) => {
  const page = await world.open("/ants");
  const focused = () => page.evaluate(() => document.activeElement?.ariaLabel ?? document.activeElement?.textContent);
  const again = (name: string) => expect.poll(focused, { timeout: 60_000 }).toBe(name);
  const drain = page.getByRole("button", { name: "Drain local" });
  await drain.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").getByRole("button", { name: "Leave it" }).click();
  await again("Drain local");
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  await page.keyboard.press("Escape");
  await again("Drain local");
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Show this list of keys").waitFor();
  await page.keyboard.press("Escape");
  await again("Drain local");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find jobs, definitions, pages, actions").waitFor();
  await page.keyboard.press("Escape");
  await again("Drain local");
  // What opened it is gone: the heading of the page has the focus.
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Show this list of keys").waitFor();
  await page.locator('[aria-label="Drain local"]').evaluate((element) => element.remove());
  await page.keyboard.press("Escape");
  await again("Ants");
});
