import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { accessible, attack, fits, harmless, test, World } from "./harness";
import { deliver, examplesOf } from "./harness/scene";

const secret = "a-secret-of-the-forge";
const labeled = (number: number, title: string) => ({
  action: "labeled",
  label: { name: "ai-ready" },
  issue: { number, title },
});

async function hooked(world: World) {
  await world.api.ask("PUT", "/api/v1/configs/IssuesWebhook", { value: secret, secret: true });
  await world.api.install(...(await examplesOf("webhook")));
  return async (id: string, body: unknown) =>
    await deliver(world.api, { type: "webhook", name: "issues", secret, body, id });
}

/** The deliveries; what can be delivered to stands above them. */
const came = (page: Page) => page.getByRole("region", { name: "Deliveries" });

test("triggers are listed before anything has come, with the address to send to and the secret that is missing", async ({
  world,
}) => {
  await world.api.install(
    ...(await examplesOf("webhook")),
    "job_type: after\nrequired_params: [How]\ntriggers:\n  - {type: job, job_type: webhook, params: {How: '{{ job.state }}'}}\ntasks:\n  - {task_type: one, script: [echo hi]}\n",
  );
  const page = await world.open("/triggers");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const listed = page.getByRole("region", { name: "Triggers" });
  const row = listed.getByRole("row", { name: /the webhook issues/ });
  const address = `${world.url}/api/v1/hooks/webhook/issues`;
  await row.getByText(address).waitFor();
  await row.getByText("There is no secret IssuesWebhook").waitFor();
  await row.getByText("none of the latest").waitFor();
  await listed.getByText("the end of a job of webhook as COMPLETED").waitFor();
  await page.getByText("Nothing was delivered yet").waitFor();
  await accessible(page);
  await row.getByRole("button", { name: "Copy the address of issues" }).click();
  await page.getByText("The address is copied.").waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(address);

  await page.getByRole("status").getByText("Live").waitFor();
  const send = await hooked(world);
  await row.getByText("There is no secret").waitFor({ state: "detached" });
  await send("one", labeled(7, "First"));
  await row.getByText("Submitted").waitFor();
  await listed.getByRole("link", { name: "webhook" }).first().click();
  await page.waitForURL(/\/definitions\/webhook$/);
});

test("a delivery shows its answer and its body, and is delivered again", async ({ world }) => {
  const send = await hooked(world);
  const page = await world.open("/triggers");
  await page.getByText("Nothing was delivered yet").waitFor();
  await page.getByRole("status").getByText("Live").waitFor();
  const first = await send("one", labeled(7, attack));
  expect(first.outcome).toBe("submitted");
  await came(page)
    .getByRole("row", { name: /Submitted/ })
    .waitFor();
  await world.api.ended(first.job_id ?? "");
  await page.getByRole("button", { name: "issues", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("region", { name: "Body" }).getByText("ai-ready", { exact: false }).waitFor();
  await harmless(page);
  await accessible(page);
  await dialog.getByRole("button", { name: "Deliver again…" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Deliver again" }).click();
  await dialog.getByText("Delivered again").waitFor();
  await dialog.getByRole("button", { name: "Show that delivery" }).click();
  await dialog.getByText("Again of").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.search.includes("delivery="));
});

test("deliveries are found by what came of them, on a phone too", async ({ world }) => {
  const send = await hooked(world);
  await send("one", labeled(1, "First"));
  await send("two", { action: "closed", issue: { number: 2, title: "Second" } });
  const page = await world.open("/triggers", { phone: true });
  await came(page)
    .getByRole("row", { name: /Filtered/ })
    .waitFor();
  await page.getByLabel("What came of it").selectOption("submitted");
  await came(page)
    .getByRole("row", { name: /Filtered/ })
    .waitFor({ state: "detached" });
  await came(page)
    .getByRole("row", { name: /Submitted/ })
    .waitFor();
  await fits(page);
  await accessible(page);
});

test("a notification that was given up is sent again", async () => {
  let answer = 410;
  const receiver = createServer((_, response) => response.writeHead(answer).end());
  await new Promise<void>((ready) => receiver.listen(0, "127.0.0.1", ready));
  const world = await World.start(["--slots", "2", "--allow-private-webhooks"]);
  try {
    const hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
    await world.api.install(`
job_type: telling
params: {Hook: {required: true}}
webhook: {url: "{{ Hook }}", when: always}
tasks:
  - {task_type: work, script: [echo done]}
`);
    await world.api.run("telling", { Hook: hook });
    // What becomes of a notification is no event of a job, so there is nothing to wait for but its state.
    const dead = () => world.api.ask<{ items: unknown[] }>("GET", "/api/v1/notifications?state=DEAD");
    await expect.poll(async () => (await dead()).items.length, { timeout: 60_000 }).toBe(1);
    const page = await world.open("/notifications");
    const row = page.getByRole("row", { name: /job.completed/ });
    await row.getByText("Given up").waitFor();
    await accessible(page);
    answer = 204;
    await row.getByRole("button", { name: /Send job.completed/ }).click();
    await page
      .getByRole("alertdialog")
      .getByText(/may get it twice/)
      .waitFor();
    await page.getByRole("alertdialog").getByRole("button", { name: "Send again" }).click();
    await row.getByText("Given up").waitFor({ state: "detached" });
    await row.getByRole("button", { name: "job.completed" }).click();
    await page.getByRole("dialog").getByRole("region", { name: "What is told" }).waitFor();
    await accessible(page);
  } finally {
    await world.stop();
    receiver.close();
    receiver.closeAllConnections();
  }
});
