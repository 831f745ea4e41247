import { expect } from "vitest";
import { accessible, fits, test } from "./harness";
import { examplesOf } from "./harness/scene";

test("a schedule is explained, run now, and made to rest", async ({ world }) => {
  await world.api.install(...(await examplesOf("schedule")));
  const page = await world.open("/schedules");
  const row = page.getByRole("row", { name: /example-schedule/ });
  await row.getByText("30 2 * * 1-5").waitFor();
  await row.getByText(/Berlin/).waitFor();
  await row
    .getByText(/02:30:00/)
    .first()
    .waitFor();
  await accessible(page);
  await row.getByRole("button", { name: "Disable example-schedule" }).click();
  await page
    .getByRole("alertdialog")
    .getByText(/takes no jobs/)
    .waitFor();
  await page.getByRole("alertdialog").getByRole("button", { name: "Disable" }).click();
  await row.getByText("Disabled").waitFor();
  await row.getByRole("button", { name: "Enable example-schedule" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Enable" }).click();
  await row.getByRole("button", { name: "Run example-schedule now" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Run now" }).click();
  await page.waitForURL(/\/jobs\/job_/);
  const { items } = await world.api.ask<{ items: { job_type: string; submitted_by: string }[] }>("GET", "/api/v1/jobs");
  // Its own time may have come meanwhile.
  const asked = items.filter((each) => each.submitted_by !== "cron");
  expect(asked.map((each) => each.job_type)).toEqual(["example-schedule"]);
});

test("schedules teach how to make one, and fit on a phone", async ({ world }) => {
  const page = await world.open("/schedules", { phone: true });
  await page.getByText("Nothing is scheduled").waitFor();
  await fits(page);
  await world.api.install(...(await examplesOf("schedule")));
  await page.reload();
  await page.getByRole("row", { name: /example-schedule/ }).waitFor();
  await fits(page);
  await accessible(page);
});
