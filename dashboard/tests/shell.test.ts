import { expect } from "vitest";
import { accessible, fits, test, World } from "./harness";

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
