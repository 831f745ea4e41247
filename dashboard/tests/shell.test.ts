import { expect } from "vitest";
import { accessible, fits, loaded, test, World } from "./harness";

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
