import { expect } from "vitest";
import { accessible, fits, test } from "./harness";
import { examplesOf } from "./harness/scene";

const greet = (version: string, word: string) => `
job_type: greet
version: "${version}"
params:
  Name: {required: true}
tasks:
  - task_type: greet
    environment: {NAME: "{{ Name }}"}
    script: ['echo "${word}, $NAME"']
`;

test("a definition is written, checked by the server while one writes, and saved", async ({ world }) => {
  const page = await world.open("/definitions");
  await page.getByText("There is no definition yet").waitFor();
  await accessible(page);
  const { page: editor, allow } = await world.sheet("/definitions/+new");
  allow(/status of 4/);
  const text = editor.getByRole("textbox", { name: /The definition as YAML/ });
  await text.waitFor();
  const save = editor.getByRole("button", { name: "Save" });
  await expect.poll(() => save.isEnabled(), { timeout: 60_000 }).toBe(true);
  await accessible(editor);
  await text.press("Control+End");
  await text.pressSequentially("on_completed: nowhere");
  await editor.getByText("a job has no key `on_completed`").first().waitFor();
  await expect.poll(() => save.isEnabled(), { timeout: 60_000 }).toBe(false);
  await text.press("Control+a");
  await text.press("Delete");
  await editor.keyboard.insertText("job_type: written\ntasks:\n  - {task_type: one, script: [echo hi]}\n");
  await expect.poll(() => save.isEnabled(), { timeout: 60_000 }).toBe(true);
  await save.click();
  await editor.waitForURL(/definitions\/written/);
  await page.reload();
  await page.getByRole("link", { name: "written" }).first().waitFor();
});

test("the editor completes keys and values, and draws what is written beside it", async ({ world }) => {
  const { page, allow } = await world.sheet("/definitions/+new");
  allow(/status of 4/);
  const text = page.getByRole("textbox", { name: /The definition as YAML/ });
  const drawn = (name: string) => page.locator(".react-flow__node").filter({ hasText: name });
  await drawn("greet").waitFor();
  await text.press("Control+a");
  await text.press("Delete");
  await page.keyboard.insertText("job_type: drawn\ntasks:\n  - task_type: first\n    script: [echo one]\n    ");
  await drawn("first").waitFor();
  await drawn("greet").waitFor({ state: "detached" });
  await text.pressSequentially("on_comp");
  const choices = page.getByRole("listbox", { name: "Completions" });
  await choices.getByRole("option", { name: /on_completed/ }).waitFor();
  // What stands there already is not offered once more.
  expect(await choices.getByRole("option", { name: /^script/ }).count()).toBe(0);
  // While the editor still asks for choices it takes none: then they are asked for once more.
  const choose = async (name: string | RegExp, made: string) => {
    await expect
      .poll(
        async () => {
          await text.press("Control+Space");
          await choices.getByRole("option", { name }).click({ timeout: 2_000 });
          return text.textContent();
        },
        { timeout: 30_000 },
      )
      .toContain(made);
  };
  await choose(/on_completed/, "on_completed: ");
  await choices.waitFor({ state: "detached" });
  await page.keyboard.insertText("second\n  - task_type: second\n    tty: ");
  await drawn("second").waitFor();
  await expect.poll(() => page.locator(".react-flow__edge").count()).toBeGreaterThan(0);
  await choose("true", "tty: true");
  await page.keyboard.insertText("\n    script: [sh]\n");
  await page.getByText("Valid: 2 tasks").waitFor();
  await accessible(page);
});

test("a run is asked for with a form of its params, and refused before it is sent when one is missing", async ({
  world,
}) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=run", { phone: true });
  await page.getByRole("button", { name: "Run greet" }).click();
  await page.getByText("It has to be given").waitFor();
  await page.locator('[name="Name"]').fill("Ada");
  await accessible(page);
  await fits(page);
  await page.getByRole("button", { name: "Run greet" }).click();
  await page.getByText("There is a job:").waitFor();
  const { items } = await world.api.ask<{ items: { job_id: string }[] }>("GET", "/api/v1/jobs");
  const job = await world.api.ended(items[0]?.job_id ?? "");
  expect(job.params).toEqual({ Name: "Ada" });
});

test("versions are compared, and a definition is made to rest", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"), greet("1.1.0", "Good day"));
  const page = await world.open("/definitions/greet?tab=versions");
  await page.getByText("Good day", { exact: false }).first().waitFor();
  await page.getByText("Hello", { exact: false }).first().waitFor();
  await accessible(page);
  const list = await world.open("/definitions");
  await list.getByRole("button", { name: "Disable greet" }).click();
  await list.getByRole("alertdialog").getByRole("button", { name: "Disable" }).click();
  await list.getByRole("row", { name: /greet/ }).getByText("Disabled").waitFor();
  await list.getByLabel("Filter definitions by name").fill("nothing");
  await list.getByText("No definition has that in its name").waitFor();
});

test("the picture of a definition is shown as a whole, on a phone too, and however it is turned", async ({ world }) => {
  await world.api.install(...(await examplesOf("fan-out", "loop", "blocked")));
  for (const phone of [false, true]) {
    for (const name of ["example-fan-out", "example-loop", "example-blocked"]) {
      const page = await world.open(`/definitions/${name}`, { phone });
      const inside = async () => {
        await page.locator(".react-flow__node").first().waitFor();
        await expect
          .poll(
            () =>
              page.evaluate(() => {
                const frame = document.querySelector(".react-flow")?.getBoundingClientRect();
                const nodes = [...document.querySelectorAll(".react-flow__node")];
                return nodes.filter((node) => {
                  const { left, right, top, bottom } = node.getBoundingClientRect();
                  return !frame || left < frame.left || right > frame.right || top < frame.top || bottom > frame.bottom;
                }).length;
              }),
            { timeout: 30_000 },
          )
          .toBe(0);
      };
      await inside();
      const shown = await page.locator(".react-flow__node").count();
      expect(shown).toBeGreaterThan(1);
      await page.getByRole("button", { name: /^Draw from/ }).click();
      await inside();
      expect(await page.locator(".react-flow__node").count()).toBe(shown);
      await page.context().close();
    }
  }
});

test("what is being written stays when somebody else saves, and is saved over that only when one says so", async ({
  world,
}) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=edit");
  const text = page.getByRole("textbox", { name: /The definition as YAML/ });
  await text.press("Control+End");
  await page.keyboard.insertText("# mine");
  await world.api.install(greet("1.1.0", "Good day"));
  // The page has learned of it.
  await page.getByRole("main").getByText("1.1.0").first().waitFor();
  await expect.poll(() => text.textContent()).toContain("# mine");
  const save = page.getByRole("button", { name: "Save as new version" });
  await expect.poll(() => save.isEnabled(), { timeout: 60_000 }).toBe(true);
  await text.press("Control+s");
  const question = page.getByRole("alertdialog");
  await question.getByText("Save over a newer version?").waitFor();
  await question.getByRole("button", { name: "Leave it" }).click();
  await expect.poll(() => text.textContent()).toContain("# mine");
  // The focus goes back to where it was.
  await expect.poll(() => text.evaluate((element) => element === document.activeElement)).toBe(true);
});

test("the editor goes on where one was when one saves", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=edit");
  const text = page.getByRole("textbox", { name: /The definition as YAML/ });
  await text.press("Control+Home");
  await page.keyboard.insertText("# first");
  const save = page.getByRole("button", { name: "Save as new version" });
  await expect.poll(() => save.isEnabled(), { timeout: 60_000 }).toBe(true);
  await text.press("Control+s");
  await page.getByText("greet is saved").waitFor();
  await expect.poll(() => save.isDisabled(), { timeout: 60_000 }).toBe(true);
  // Without a click: the editor has the focus and its cursor, and what was done can be undone.
  await page.keyboard.insertText(" line");
  await expect.poll(() => text.textContent()).toContain("# first line");
  await page.keyboard.press("Control+z");
  await page.keyboard.press("Control+z");
  await expect.poll(() => text.textContent()).not.toContain("# first");
});

test("a form of an older version says that there is a newer one before it runs anything", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const told = await world.open("/definitions/greet?tab=run");
  // A page that nobody tells: its stream never comes.
  const { page, allow } = await world.sheet("/definitions/greet?tab=run");
  allow(/ERR_/);
  await page.route("**/api/v1/events/stream", (route) => route.abort());
  await page.reload();
  await page.locator('[name="Name"]').fill("Ada");
  await world.api.install(greet("1.1.0", "Good day"));
  await told.getByText("A newer version is there: 1.1.0").waitFor();
  await accessible(told);
  await page.getByRole("button", { name: "Run greet" }).click();
  await page.getByText("A newer version is there: 1.1.0").waitFor();
  const { items } = await world.api.ask<{ items: unknown[] }>("GET", "/api/v1/jobs");
  expect(items).toEqual([]);
  await page.getByRole("button", { name: "Take the newer one" }).click();
  await page.getByText("A newer version is there").waitFor({ state: "detached" });
  expect(await page.locator('[name="Name"]').inputValue()).toBe("Ada");
  await page.getByRole("button", { name: "Run greet" }).click();
  await page.getByText("There is a job:").waitFor();
});
