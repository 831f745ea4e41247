import { expect } from "vitest";
import { accessible, attack, fits, harmless, tabTo, test } from "./harness";

const review = `
job_type: review
params: {Branch: {required: true}}
tasks:
  - {task_type: build, max_visits: 3, script: ["echo {{ Branch }}"], on_completed: check}
  - task_type: check
    script: [echo checked]
    on_exit_code: {COMPLETED: publish, 3: {goto: build, max: 2}, 4: END_BLOCKED}
  - {task_type: publish, script: [echo published]}
`;

test("a dry run says what would happen, for what is assumed, and runs nothing", async ({ world }) => {
  await world.api.install(review);
  const page = await world.open("/definitions/review");
  await page.getByRole("navigation", { name: "Parts of this page" }).getByRole("link", { name: "Dry run" }).click();
  await page.getByText("To say it, Branch has to be given as it is expected.").waitFor();
  await page.locator('[name="Branch"]').fill("main");
  await page.getByText("3 of 3 tasks run, in 3 attempts.").waitFor();
  await accessible(page);

  await page.getByLabel("Assume something of", { exact: true }).selectOption("check");
  await page.getByLabel("It ends with").fill("3, 0");
  await page.getByText("3 of 3 tasks run, in 5 attempts.").waitFor();
  const steps = page.getByRole("region", { name: "Steps" });
  await steps.getByText("3 → build").waitFor();
  await page.getByRole("button", { name: /^build, Completed, 2 visits/ }).waitFor();
  await page.getByLabel("It ends with").fill("4");
  await page.getByRole("status").getByText("Blocked").waitFor();
  await page.getByRole("button", { name: /^END_BLOCKED, Blocked/ }).waitFor();
  await steps.getByRole("row", { name: /publish is skipped/ }).waitFor();
  await accessible(page);

  // The address says all of it.
  await page.reload();
  await page.getByRole("status").getByText("Blocked").waitFor();
  expect(await page.getByLabel("It ends with").inputValue()).toBe("4");
  expect(await page.locator('[name="Branch"]').inputValue()).toBe("main");
  await page.getByRole("button", { name: "Assume nothing of check" }).click();
  await page.getByText("3 of 3 tasks run, in 3 attempts.").waitFor();
  const { items } = await world.api.ask<{ items: unknown[] }>("GET", "/api/v1/jobs");
  expect(items).toEqual([]);
});

test("a text is changed where the caret is, and stands in the address when one has stopped", async ({ world }) => {
  await world.api.install(review);
  const page = await world.open(
    `/definitions/review?tab=dry-run&given=${encodeURIComponent('{"Branch":"main"}')}&assume=${encodeURIComponent('{"check":{"results":"3, 0"}}')}`,
  );
  await page.getByText("3 of 3 tasks run, in 5 attempts.").waitFor();
  const results = page.getByLabel("It ends with");
  await results.press("Home");
  await results.pressSequentially("1, ");
  expect(await results.inputValue()).toBe("1, 3, 0");
  const branch = page.locator('[name="Branch"]');
  await branch.press("Home");
  await branch.pressSequentially("ai/");
  expect(await branch.inputValue()).toBe("ai/main");
  await page.waitForURL(
    ({ searchParams }) =>
      searchParams.get("given") === '{"Branch":"ai/main"}' &&
      searchParams.get("assume") === '{"check":{"results":"1, 3, 0"}}',
  );
  await page.reload();
  await results.waitFor();
  expect([await results.inputValue(), await branch.inputValue()]).toEqual(["1, 3, 0", "ai/main"]);
});

test("what cannot be assumed is said, and a task is chosen in the picture by keyboard", async ({ world }) => {
  await world.api.install(review);
  const { page, allow } = await world.sheet("/definitions/review?tab=dry-run");
  allow(/status of 422/);
  await page.locator('[name="Branch"]').fill(attack);
  await page.getByText("3 of 3 tasks run, in 3 attempts.").waitFor();
  await tabTo(page, /^publish/);
  await page.keyboard.press("Enter");
  await page.getByRole("group", { name: /publish/ }).waitFor();
  await page.getByLabel("It ends with").fill("NONSENSE");
  await page.getByRole("alert").getByText("NONSENSE", { exact: false }).first().waitFor();
  await page.getByLabel("It ends with").fill("");
  await page.getByText("Condition, items, outputs").click();
  await page.getByLabel("Its outputs").fill("[1]");
  await page.getByText("Outputs are a JSON object", { exact: false }).waitFor();
  await harmless(page);
  await accessible(page);
});

test("a dry run fits on a phone, and a viewer may play it", async ({ world }) => {
  await world.api.install(review);
  const token = await world.api.token("vera", "viewer");
  const page = await world.open(`/definitions/review?tab=dry-run&given=${encodeURIComponent('{"Branch":"main"}')}`, {
    phone: true,
    token,
  });
  await page.getByText("3 of 3 tasks run, in 3 attempts.").waitFor();
  await fits(page);
  await accessible(page);
});
