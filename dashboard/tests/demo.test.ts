import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { accessible, World } from "./harness";

// docs/dashboard.md, "Finding one's way": the clicks of somebody who sees Atta for the first time, by what they read.
test("why the job of the demo is blocked, what agents changed, what it cost and how it goes on", async () => {
  const world = await World.start([], { command: "demo" });
  try {
    // Why: it is on the first page.
    const page = await world.open("/");
    await page.getByText("plan: The issue contradicts itself.").waitFor();
    await page.getByText('Must `farewell Ada` print "Goodbye, Ada" or "See you, Ada"?').waitFor();

    // What it cost: the job's page has it at its top.
    await page.getByText("local#3: Say farewell").first().click();
    await page.getByText("It stopped and needs a person").waitFor();
    await page.getByText("The task plan stopped it").waitFor();
    await page.getByText("Agents cost").waitFor();
    await page
      .getByText(/^\$0\.00\d\d$/)
      .first()
      .waitFor();
    await accessible(page);

    // What the agent changed: nothing here, since it asked before it began.
    await page.getByRole("tab", { name: "Changes" }).click();
    await page.getByText("Nothing was changed").waitFor();

    // How it goes on: with an answer in the issue, and everything read anew.
    await page.getByText("First answer where the work comes from").waitFor();
    const human = join(world.server.directory, "demo/forge/issues/needs-human");
    const issue = join(human, (await readdir(human))[0] ?? "");
    const text = await readFile(issue, "utf8");
    await writeFile(issue, text.replace(/.*See you.*\n/, ""));
    await page.getByRole("button", { name: "Run anew…" }).click();
    await page.getByRole("dialog").getByText("A new job begins from the start with these parameters").waitFor();
    const before = page.url();
    await page.getByRole("dialog").getByRole("button", { name: "Submit a new job" }).click();
    await page.waitForURL((url) => url.href !== before);
    const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    const isDone = (name: string) => (job: Awaited<ReturnType<typeof world.api.job>>) =>
      job.tasks.find((task) => task.task_type === name)?.state === "COMPLETED";
    await world.api.until(id, isDone("create-pr"));

    // And what was changed is there as soon as an agent has changed something.
    await page.getByRole("tab", { name: "Changes" }).click();
    await page.getByText("farewell").first().waitFor();
    expect(await page.getByText("Nothing was changed").count()).toBe(0);
    await page.getByRole("button", { name: "Cancel…" }).waitFor();
    await world.api.ask("POST", `/api/v1/jobs/${id}/cancel`, {});
    await world.api.ended(id);
  } finally {
    await world.stop();
  }
});
