import { expect } from "vitest";
import { accessible, fits, tabTo, test } from "./harness";

const slow = `
job_type: slow
defaults: {shell: [sh, -eu]}
tasks:
  - {task_type: wait, script: ['while [ ! -e "$GO" ]; do sleep 0.1; done'], environment: {GO: "{{ Go }}"}}
params: {Go: {required: true}}
`;

test("an ant is drained with what follows from it said before, and its work seen to go on", async ({ world }) => {
  await world.api.install(slow);
  const go = `${world.server.directory}/go`;
  const job = await world.api.submit("slow", { Go: go });
  const page = await world.open("/ants");
  const row = page.getByRole("row", { name: /local/ });
  await row.getByText("1 of 4").waitFor();
  await row.getByRole("link", { name: new RegExp(`${job.slice(-6)}-1`) }).waitFor();
  await accessible(page);
  await row.getByRole("button", { name: "Drain local" }).click();
  const dialog = page.getByRole("alertdialog");
  await dialog.getByText(/The attempt that it has goes on to the end/).waitFor();
  await accessible(page);
  await dialog.getByRole("button", { name: "Drain" }).click();
  await row.getByText("Draining").waitFor();
  await world.server.file("go", "");
  expect((await world.api.ended(job)).state).toBe("COMPLETED");
  await row.getByText("It has no work and may be taken away.").waitFor();
  await row.getByRole("button", { name: "Uncordon local" }).click();
  await dialog.getByRole("button", { name: "Uncordon" }).click();
  await row.getByText("Draining").waitFor({ state: "detached" });
});

test("an ant is cordoned by keyboard alone", async ({ world }) => {
  const page = await world.open("/ants");
  await page.getByRole("row", { name: /local/ }).waitFor();
  await tabTo(page, "Cordon local");
  await page.keyboard.press("Enter");
  await page.getByRole("alertdialog").waitFor();
  await tabTo(page, "Cordon", 10);
  await page.keyboard.press("Enter");
  await page.getByRole("row", { name: /local/ }).getByText("Cordoned").waitFor();
  const [ant] = (await world.api.ask<{ items: { mode: string }[] }>("GET", "/api/v1/ants")).items;
  expect(ant?.mode).toBe("CORDONED");
});

test("the ants fit on a phone", async ({ world }) => {
  const page = await world.open("/ants", { phone: true });
  await page.getByRole("row", { name: /local/ }).waitFor();
  await fits(page);
  await accessible(page);
});
