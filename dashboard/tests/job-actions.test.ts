import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { accessible, fits, World } from "./harness";

const door = `
job_type: door
params: {Key: {default: none}, Tries: {type: integer, default: 1}}
tasks:
  - {task_type: before, script: [echo before], on_completed: door}
  - task_type: door
    script: ['echo "with {{ Key }}"; [ "{{ Key }}" != none ] || exit 9']
    on_exit_code: {9: PAUSE_JOB}
    on_completed: after
  - {task_type: after, script: ['echo "opened by {{ Key }}"']}
`;

const stubborn = `
job_type: stubborn
tasks:
  - {task_type: work, script: [sleep 600]}
  - {task_type: clean, always_run: true, script: ['echo cleaning; sleep 600']}
`;

const asks = `
job_type: asks
tasks:
  - task_type: ask
    approval: {users: [alice], message: Publish?}
    on_exit_code: {APPROVED: publish, REJECTED: END_BLOCKED}
  - {task_type: publish, script: [echo published]}
`;

const works = `
job_type: works
tasks:
  - task_type: work
    agent:
      cli: custom
      command:
        - sh
        - -c
        - |
          cat >/dev/null
          cat <<'END'
          {"type":"session","id":"session-1"}
          {"type":"turn"}
          {"type":"thinking","text":"First I look.\\nThen I leap."}
          {"type":"message","text":"I look around."}
          {"type":"tool","name":"Bash","input":{"command":"ls -l"}}
          {"type":"tool_result","text":"total 1\\n<b>README.md</b>"}
          {"type":"tool","name":"Write","input":{"path":"/etc/passwd"}}
          {"type":"tool_result","text":"not allowed","is_error":true}
          {"type":"result","text":"Done."}
          END
      prompt: Look around.
`;

let world: World;

beforeAll(async () => {
  world = await World.start(["--slots", "4"]);
  await world.api.install(door, stubborn, asks, works);
});
afterAll(async () => await world.stop());
afterEach(() => world.quiet());

test("what can be done with a job is found by its name, and by keys that the list of keys has", async () => {
  const id = await world.api.submit("door");
  await world.api.state(id, "PAUSED");
  const page = await world.open(`/jobs/${id}?task=before`);
  await page.getByRole("button", { name: "Resume…" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find jobs, definitions, pages, actions").fill("cancel this");
  await page.getByRole("option", { name: "Cancel this job", selected: true }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Cancel this job?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await page.getByRole("dialog").getByText("Resume this job").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("a");
  await page.keyboard.press("e");
  await page.getByRole("dialog", { name: "Let this job go on?" }).waitFor();
  await page.close();
});

test("a paused job goes on with other parameters, and runs again from a task as a new job with yet others", async () => {
  const id = await world.api.submit("door");
  await world.api.state(id, "PAUSED");
  const page = await world.open(`/jobs/${id}?task=before`);
  await page.getByRole("button", { name: "Resume…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Change parameters").click();
  const resume = dialog.getByRole("button", { name: "Resume" });
  await dialog.getByLabel("Tries").fill("three");
  await dialog.getByText("This has to be JSON").waitFor();
  expect(await resume.isDisabled()).toBe(true);
  await dialog.getByLabel("Tries").fill("3");
  await dialog.getByLabel("Key").fill("brass");
  await dialog.getByText("(Tries, Key)").waitFor();
  await accessible(page);
  await resume.click();
  await page.getByText("The job goes on.").waitFor();
  const opened = await world.api.ended(id);
  expect([opened.state, opened.params]).toEqual(["COMPLETED", { Key: "brass", Tries: 3 }]);

  await page.getByText("Completed").first().waitFor();
  const rerun = page.getByRole("button", { name: "Rerun from here…" });
  await rerun.click();
  const from = dialog.getByLabel("From the task");
  expect(await from.inputValue()).toBe("before");
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await page.getByRole("region", { name: "The job" }).getByRole("tab", { name: /Tasks/ }).click();
  await page.getByRole("region", { name: "The job" }).getByText("after", { exact: true }).click();
  await page.getByRole("region", { name: "Task after" }).waitFor();
  await rerun.click();
  expect(await from.inputValue()).toBe("after");
  await dialog.getByRole("button", { name: "Rerun" }).click();
  await page.getByText("The job runs again.").waitFor();
  const again = await world.api.until(
    id,
    ({ tasks, state }) =>
      state === "COMPLETED" && tasks.some((task) => task.task_type === "after" && task.attempts > 1),
  );
  expect(again.tasks.map(({ task_type: name, attempts }) => [name, attempts])).toEqual([
    ["before", 1],
    ["door", 2],
    ["after", 2],
  ]);

  await page.getByText("Completed").first().waitFor();
  await rerun.click();
  await dialog.getByText("Change parameters").click();
  await dialog.getByLabel("Key").fill("silver");
  await dialog.getByRole("button", { name: "Rerun as a new job" }).click();
  await page.getByText("A new job runs it again.").waitFor();
  await page.waitForURL((url) => !url.pathname.endsWith(id));
  const fresh = await world.api.ended(new URL(page.url()).pathname.split("/").at(-1) ?? "");
  expect([fresh.state, fresh.params]).toEqual(["COMPLETED", { Key: "silver", Tries: 3 }]);
  const adopted = fresh.tasks.filter(({ adopted_from: from }) => from != null).map(({ task_type: name }) => name);
  expect(adopted.sort()).toEqual(["before", "door"]);
  await page.getByRole("region", { name: "Task after" }).getByText("opened by silver").waitFor();
});

test("who does not want to wait for what a cancelled job cleans up cancels it by force", async () => {
  const id = await world.api.submit("stubborn");
  await world.api.state(id, "RUNNING");
  const page = await world.open(`/jobs/${id}?task=clean`, { phone: true });
  await page.getByRole("button", { name: "Cancel…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why (if you like)").fill("the wrong branch");
  await dialog.getByRole("button", { name: "Cancel the job" }).click();
  await page.getByRole("region", { name: "Task clean" }).getByText("cleaning").waitFor();
  await page.getByText("It is being cancelled").waitFor();
  await page.getByRole("button", { name: "Cancel by force…" }).click();
  await dialog.getByRole("heading", { name: "Cancel by force?" }).waitFor();
  await dialog.getByText("what they would have put in order stays").waitFor();
  await fits(page);
  await accessible(page);
  await dialog.getByRole("button", { name: "Cancel the job" }).click();
  const ended = await world.api.ended(id);
  expect([ended.state, ended.reason]).toEqual(["CANCELLED", "the wrong branch"]);
  expect(ended.tasks.map(({ state }) => state)).toEqual(["CANCELLED", "CANCELLED"]);
  await page.getByText("It was cancelled").waitFor();
});

test("what a job asks is answered on its own page", async () => {
  for (const [word, said, state] of [
    ["Approve", "Your approval is counted.", "COMPLETED"],
    ["Reject", "Your rejection is counted.", "BLOCKED"],
  ] as const) {
    const id = await world.api.submit("asks");
    await world.api.state(id, "WAITING");
    const page = await world.open(`/jobs/${id}`);
    const why = page.getByRole("region", { name: "Why it is in this state" });
    await why.getByText("ask asks: Publish?").waitFor();
    await why.getByRole("button", { name: `${word}…` }).click();
    await why.getByLabel("In whose name do you vote?").fill("alice");
    await why.getByRole("button", { name: "Use this name" }).click();
    await why.getByRole("button", { name: `${word}…` }).click();
    const dialog = page.getByRole("alertdialog");
    await dialog.getByText("You vote as alice.").waitFor();
    await accessible(page);
    await dialog.getByLabel(/^Comment/).fill("seen by me");
    await dialog.getByRole("button", { name: word }).click();
    await page.getByText(said).waitFor();
    expect((await world.api.ended(id)).state).toBe(state);
    await why.getByRole("button", { name: `${word}…` }).waitFor({ state: "detached" });
    const { items } = await world.api.ask<{ items: { votes: object[] }[] }>("GET", `/api/v1/jobs/${id}/approvals`);
    expect(items[0]?.votes).toMatchObject([{ voter: "alice", decision: word.toLowerCase(), comment: "seen by me" }]);
  }
});

test("what an agent thought, called and was answered is a line each, and unfolds", async () => {
  const { job_id: id } = await world.api.run("works");
  const page = await world.open(`/jobs/${id}?task=work&tab=agent`, { phone: true });
  const task = page.getByRole("region", { name: "Task work" });
  await task.getByText("2 calls of tools").waitFor();
  await task.getByText("I look around.").waitFor();
  for (const [name, inside] of [
    [/^Thinking/, "First I look.\nThen I leap."],
    [/^Bash/, '{\n  "command": "ls -l"\n}'],
    [/^Answer/, "total 1\n<b>README.md</b>"],
    [/^Error/, "not allowed"],
  ] as const) {
    const step = page.getByRole("button", { name });
    expect(await step.getAttribute("aria-expanded")).toBe("false");
    await step.click();
    const text = task.getByRole("listitem").filter({ has: step }).locator("pre");
    await text.waitFor();
    expect(await text.textContent()).toBe(inside);
    expect(await step.getAttribute("aria-expanded")).toBe("true");
  }
  await fits(page);
  await accessible(page);
  const thinking = task.getByRole("button", { name: /^Thinking/ });
  await thinking.click();
  await task.getByText("Then I leap.", { exact: false }).locator("xpath=self::pre").waitFor({ state: "detached" });
  expect(await thinking.textContent()).toContain("First I look. Then I leap.");
});
