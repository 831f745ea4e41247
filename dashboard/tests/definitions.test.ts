import type { Page } from "playwright-core";
import { expect } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, Client, fits, test, World } from "./harness";
import { agentOf, examplesOf } from "./harness/scene";

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

const editorOf = (page: Page) => page.getByRole("textbox", { name: /The definition as YAML/ });
const partOf = (page: Page, name: string) =>
  page.getByRole("navigation", { name: "Parts of this page" }).getByRole("link", { name, exact: true });
const pageOf = (page: Page, name: string) =>
  page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true });

test("who leaves without saving is asked, and stays with the text or goes without it", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=edit");
  const text = editorOf(page);
  await text.press("Control+End");
  await page.keyboard.insertText("# mine");
  await pageOf(page, "Jobs").click();
  const question = page.getByRole("alertdialog");
  await question.getByText("Leave without saving?").waitFor();
  await accessible(page);
  await question.getByRole("button", { name: "Stay" }).click();
  await question.waitFor({ state: "detached" });
  expect(new URL(page.url()).pathname).toBe("/definitions/greet");
  expect(await text.textContent()).toContain("# mine");
  await pageOf(page, "Jobs").click();
  await question.getByRole("button", { name: "Leave" }).click();
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await page.goBack();
  await expect.poll(() => text.textContent(), { timeout: 30_000 }).toContain("Hello");
  expect(await text.textContent()).not.toContain("# mine");
});

test("another version is not edited over what one has written, unless one says so", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"), greet("1.1.0", "Good day"));
  const page = await world.open("/definitions/greet?tab=edit");
  const text = editorOf(page);
  await text.press("Control+End");
  await page.keyboard.insertText("# mine");
  const question = page.getByRole("alertdialog");
  const editFirst = async () => {
    await partOf(page, "Versions").click();
    await page.getByRole("link", { name: "What 1.0.0 changed" }).click();
    await page.getByText("The first version: 1.0.0").waitFor();
    await page.getByRole("button", { name: "Edit from this one" }).click();
    await question.getByText("Throw away what you have written?").waitFor();
  };
  await editFirst();
  await accessible(page);
  await question.getByRole("button", { name: "Keep mine" }).click();
  // The mark of what is not saved is a part of the name.
  await page.getByRole("link", { name: /^Edit/ }).click();
  await expect.poll(() => text.textContent(), { timeout: 30_000 }).toContain("# mine");
  expect(await text.textContent()).toContain("Good day");
  await editFirst();
  await question.getByRole("button", { name: "Edit from this one" }).click();
  await expect.poll(() => text.textContent(), { timeout: 30_000 }).toContain("Hello");
  expect(await text.textContent()).not.toContain("# mine");
});

test("what one has written is there again after one had to sign in anew, until it is thrown away", async () => {
  const world = await World.start();
  try {
    await world.api.install(greet("1.0.0", "Hello"));
    const admin = new Client(world.server.url, await world.api.token("admin", "admin", "ada"));
    const make = (name: string) =>
      admin.ask<Api<"NewToken">>("POST", "/api/v1/tokens", { name, role: "admin", user: "eve" });
    const first = await make("first");
    const second = await make("second");
    const { page, allow } = await world.sheet("/definitions/greet?tab=edit");
    allow(/status of 4/);
    const signIn = async ({ value }: Api<"NewToken">) => {
      await page.getByLabel("API token").fill(value);
      await page.getByRole("button", { name: "Sign in" }).click();
    };
    await page.evaluate((token) => sessionStorage.setItem("atta.token", token), first.value);
    await page.reload();
    const text = editorOf(page);
    await text.press("Control+End");
    await page.keyboard.insertText("# mine");
    await expect.poll(() => text.textContent()).toContain("# mine");
    await admin.ask("DELETE", `/api/v1/tokens/${first.token.token_id}`);
    // What happens makes the page ask for something.
    await admin.run("greet", { Name: "Ada" });
    await page.getByText("this token was revoked").waitFor();
    await signIn(second);
    await expect.poll(() => text.textContent(), { timeout: 60_000 }).toContain("# mine");
    await page.getByRole("button", { name: "Discard" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Throw away" }).click();
    await expect.poll(() => text.textContent(), { timeout: 30_000 }).not.toContain("# mine");
    await page.getByRole("button", { name: "Discard" }).waitFor({ state: "detached" });
    await page.reload();
    await expect.poll(() => text.textContent(), { timeout: 60_000 }).toContain("Hello");
    expect(await text.textContent()).not.toContain("# mine");
  } finally {
    await world.stop();
  }
});

test("what is filled in for a run stays while one looks elsewhere on the page, and all of it is sent", async ({
  world,
}) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=run");
  const filled = {
    Name: page.locator('[name="Name"]'),
    Description: page.getByLabel("Description"),
    Priority: page.getByLabel("Priority"),
    "Not before": page.getByLabel("Not before"),
  };
  await filled.Name.fill("Ada");
  await filled.Description.fill("for Ada");
  await filled.Priority.selectOption("HIGH");
  await filled["Not before"].fill("2099-01-01T12:30");
  await partOf(page, "Versions").click();
  await page.getByText("The first version: 1.0.0").waitFor();
  await partOf(page, "Run").click();
  await filled.Name.waitFor();
  expect(await Promise.all(Object.values(filled).map((each) => each.inputValue()))).toEqual([
    "Ada",
    "for Ada",
    "HIGH",
    "2099-01-01T12:30",
  ]);
  await page.getByRole("button", { name: "Run greet" }).click();
  await page.getByText("There is a job:").waitFor();
  const { items } = await world.api.ask<{ items: Api<"JobSummary">[] }>("GET", "/api/v1/jobs");
  expect(items.length).toBe(1);
  const [job] = items;
  expect([job?.description, job?.priority, job?.state]).toEqual(["for Ada", "HIGH", "PENDING"]);
  // The page is in Berlin, an hour before the server's time in winter.
  expect(new Date(job?.scheduled_at ?? "").toISOString()).toBe("2099-01-01T11:30:00.000Z");
});

test("the list says when definitions run, how their runs went, and what they have cost", async ({ world }) => {
  await world.api.install(
    agentOf("change", { usd: "0.05", turns: "2" }),
    "job_type: flaky\nparams: {Code: {type: integer, default: 0}}\ntasks:\n  - {task_type: one, script: ['exit {{ Code }}']}\n",
    ...(await examplesOf("schedule")),
  );
  await world.api.run("flaky");
  await world.api.run("change");
  const failed = await world.api.run("flaky", { Code: 1 });
  const page = await world.open("/definitions");
  const row = (name: string) => page.getByRole("row", { name: new RegExp(name) });
  await row("example-schedule").getByText("30 2 * * 1-5").waitFor();
  await row("example-schedule")
    .getByText(/^next in /)
    .waitFor();
  await row("flaky").getByText("50 %").waitFor();
  await row("flaky").getByText("of the latest 2 completed").waitFor({ state: "attached" });
  const last = row("flaky").getByRole("link", { name: /Failed/ });
  expect(await last.getAttribute("href")).toBe(`/jobs/${failed.job_id}`);
  await row("change").getByText("100 %").waitFor();
  await row("change").getByText("$0.10").waitFor();
  await row("change").getByText("1 job", { exact: true }).waitFor();
  await accessible(page);
});

test("a run that ended while one was on another page is in the list when one comes back", async ({ world }) => {
  await world.api.install(agentOf("change", { usd: "0.05", turns: "2" }));
  const page = await world.open("/definitions");
  const row = page.getByRole("row", { name: /change/ });
  await row.getByTitle("None among the latest 500 jobs").first().waitFor();
  await page.getByRole("link", { name: "Run change" }).click();
  await page.getByRole("button", { name: "Run change" }).click();
  await page.getByText("There is a job:").waitFor();
  const { items } = await world.api.ask<{ items: { job_id: string }[] }>("GET", "/api/v1/jobs");
  await world.api.ended(items[0]?.job_id ?? "");
  await pageOf(page, "Definitions").click();
  await row.getByText("100 %").waitFor();
  await row.getByText("$0.10").waitFor();
});

test("Escape, then Tab, leaves the editor, where Tab alone is a part of the text", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/definitions/greet?tab=edit");
  const text = editorOf(page);
  const inside = () => text.evaluate((element) => element.contains(document.activeElement));
  await text.press("Control+End");
  await page.keyboard.press("Tab");
  expect(await inside()).toBe(true);
  // The two have to follow each other within a moment, which a busy machine may miss.
  await expect
    .poll(
      async () => {
        await page.keyboard.press("Escape");
        await page.keyboard.press("Tab");
        return await inside();
      },
      { timeout: 30_000 },
    )
    .toBe(false);
});

test("the palette leads to the form of a run by the name of the definition", async ({ world }) => {
  await world.api.install(greet("1.0.0", "Hello"));
  const page = await world.open("/");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find jobs, definitions, pages, actions").fill("run greet");
  const run = page.getByRole("option", { name: "Run greet…" });
  await run.waitFor();
  await accessible(page);
  await run.click();
  await page.getByRole("button", { name: "Run greet" }).waitFor();
});
