import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { accessible, attack, fits, harmless, World } from "./harness";
import { agentOf, examplesOf } from "./harness/scene";

let world: World;
let paused: string;

beforeAll(async () => {
  world = await World.start(["--slots", "4", "--budget-per-day", "usd=100,tokens=2000000"]);
  await world.api.install(
    agentOf("change", { usd: "0.05", turns: "3" }),
    agentOf("pausing", { usd: "1", turns: "6", more: "budget: {usd: 2}" }),
    ...(await examplesOf("agent-accounts", "retry")),
  );
  await world.api.run("change");
  await world.api.run("change", { Repo: attack });
  await world.api.run("example-agent-accounts");
  paused = await world.api.submit("pausing");
  await world.api.state(paused, "PAUSED");
});
afterAll(async () => await world.stop());
afterEach(() => world.quiet());

test("outcomes say what was spent and what came of it, and a file has the same figures", async () => {
  const page = await world.open("/outcomes");
  await page.getByText("Cost per merge").first().waitFor();
  const table = page.getByRole("region", { name: "Outcomes by definition" });
  await table
    .getByRole("row", { name: /change/ })
    .first()
    .waitFor();
  const today = new Date().toISOString().slice(0, 10);
  await page.getByRole("region", { name: "By day" }).getByRole("cell", { name: today }).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV" }).click()]);
  const text = await readFile(await file.path(), "utf8");
  expect(text.split("\r\n")[0]).toMatch(/^definition,jobs,/);
  expect(text).toMatch(/^change,2,0,2,2,/m);
  await accessible(page);
});

test("outcomes are narrowed by a click, and the URL says to what", async () => {
  const page = await world.open("/outcomes?by=repository");
  await page.getByRole("button", { name: "acme/shop" }).click();
  await page.waitForURL(/repository=acme/);
  const rows = page.getByRole("region", { name: "Outcomes by repository" }).locator("tbody tr");
  await rows.nth(1).waitFor({ state: "detached" });
  await page.getByLabel("Groups by").selectOption("job");
  await page.waitForURL(/by=job/);
  await page.getByRole("region", { name: "Outcomes by job" }).getByRole("link").first().waitFor();
});

test("outcomes follow what ends while one looks at them", async () => {
  const page = await world.open("/outcomes?definition=pausing");
  await page.getByRole("status").getByText("Live").waitFor();
  await page.getByText("There is nothing to count yet").or(page.getByText("1 in progress")).first().waitFor();
  const job = await world.api.submit("pausing", { Turns: 1 });
  await world.api.ended(job);
  await page.getByRole("region", { name: "Outcomes by definition" }).getByText("1 of 1").waitFor();
});

test("a job that has used up its budget is given more, and goes on", async () => {
  const page = await world.open("/budgets");
  await page.getByRole("meter", { name: "US dollars used by today" }).waitFor();
  await accessible(page);
  await page.getByRole("button", { name: `Extend the budget of job ${paused.slice(-8)}` }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Paused").waitFor();
  await accessible(page);
  await dialog.getByLabel("US dollars").fill("20");
  await dialog.getByRole("button", { name: "Extend and go on" }).click();
  await page.getByText("The job goes on with its new budget.").waitFor();
  expect((await world.api.ended(paused)).state).toBe("COMPLETED");
});

test("an account that met its limit is used again when somebody says so", async () => {
  const page = await world.open("/budgets");
  const row = page.getByRole("row", { name: /team-a/ });
  await row.getByText("At its limit").waitFor();
  await row.getByRole("button", { name: "Use team-a again" }).click();
  await page
    .getByRole("alertdialog")
    .getByText(/may be paid for/)
    .waitFor();
  await page.getByRole("alertdialog").getByRole("button", { name: "Use it again" }).click();
  await row.getByText("At its limit").waitFor({ state: "detached" });
});

test("hostile names of repositories are text, on a phone too", async () => {
  const page = await world.open("/outcomes?by=repository", { phone: true });
  await page
    .getByRole("button", { name: /script/ })
    .first()
    .waitFor();
  await harmless(page);
  await fits(page);
  const budgets = await world.open("/budgets", { phone: true });
  await budgets.getByRole("meter").first().waitFor();
  await fits(budgets);
});
