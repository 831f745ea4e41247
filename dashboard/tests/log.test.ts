import type { Page } from "playwright-core";
import { expect } from "vitest";
import { accessible, test } from "./harness";

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
