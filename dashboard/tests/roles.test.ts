import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, fits, World } from "./harness";
import { agentOf, examplesOf } from "./harness/scene";

// A page asks for nothing that the role may not have: the console would tell of each 403, and that fails these tests.
const asks = `
job_type: asks
tasks:
  - task_type: ask
    approval: {users: [olga, olaf, ada], min_approvals: 2, message: "Publish?"}
`;
const fails = `
job_type: fails
tasks:
  - {task_type: work, script: [exit 3]}
`;
const blocks = `
job_type: blocks
tasks:
  - task_type: plan
    script: [exit 2]
    on_exit_code: {2: END_BLOCKED}
`;

type Role = Api<"Role">;
const order: Role[] = ["viewer", "submitter", "operator", "admin"];
const people: Partial<Record<Role, string>> = { viewer: "vera", submitter: "sam", operator: "olga", admin: "ada" };

let world: World;
let failed = "";
const tokens = new Map<string, string>();

const tokenOf = (user: string, role: Role) => world.api.token(`${user}-laptop`, role, user);

beforeAll(async () => {
  world = await World.start(["--slots", "4"]);
  await world.api.install(
    asks,
    fails,
    blocks,
    agentOf("pausing", { usd: "1", turns: "6", more: "budget: {usd: 2}" }),
    ...(await examplesOf("schedule")),
  );
  await world.api.ask("PUT", "/api/v1/configs/Region", { value: "eu-central-1" });
  failed = (await world.api.run("fails")).job_id;
  await world.api.run("blocks");
  await world.api.state(await world.api.submit("asks"), "WAITING");
  await world.api.state(await world.api.submit("pausing"), "PAUSED");
  for (const role of order) tokens.set(role, await tokenOf(people[role] ?? role, role));
  tokens.set("otto", await tokenOf("otto", "operator"));
});
afterAll(async () => await world.stop());
afterEach(() => world.quiet());

type Kind = "button" | "link" | "checkbox";
/** What there is on a page, from which role on; `ready` is there for everybody. */
const pages: [path: () => string, ready: string | RegExp, things: [Role, Kind, string | RegExp][]][] = [
  [
    () => "/",
    "plan ended with exit code 2, which blocks the job.",
    [
      ["viewer", "button", "Hide"],
      ["viewer", "link", "Definitions"],
      ["operator", "button", "Try again…"],
      ["operator", "button", "Approve…"],
      ["operator", "button", "Extend and resume…"],
      ["admin", "link", "Tokens"],
      ["admin", "link", "Audit"],
    ],
  ],
  [
    () => "/jobs",
    "4 jobs, the newest first",
    [
      ["viewer", "button", "Failed"],
      ["operator", "checkbox", /^Select fails/],
      ["operator", "checkbox", "Select all 4 that are shown"],
    ],
  ],
  [
    () => `/jobs/${failed}`,
    "It failed",
    [
      ["operator", "button", "Retry…"],
      ["operator", "button", "Run anew…"],
      ["operator", "button", "Rerun from here…"],
    ],
  ],
  [
    () => "/definitions",
    "example-schedule",
    [
      ["submitter", "link", "Run fails"],
      ["admin", "link", "New definition"],
      ["admin", "button", "Disable fails"],
    ],
  ],
  [
    () => "/definitions/example-schedule",
    "What came of it",
    [
      ["viewer", "link", "Versions"],
      ["submitter", "link", "Run"],
      ["admin", "link", "Edit"],
      ["admin", "button", "Disable example-schedule"],
    ],
  ],
  [() => "/definitions/fails?tab=versions", "The first version", [["admin", "button", "Edit from this one"]]],
  [
    () => "/schedules",
    "30 2 * * 1-5",
    [
      ["submitter", "button", "Run example-schedule now"],
      ["admin", "button", "Disable example-schedule"],
    ],
  ],
  [
    () => "/configs",
    "eu-central-1",
    [
      ["admin", "button", "Secret…"],
      ["admin", "button", "Replace Region"],
      ["admin", "button", "New key…"],
    ],
  ],
  [
    () => "/ants",
    "1 of 1 live",
    [
      ["operator", "button", "Cordon local"],
      ["operator", "button", "Drain local"],
    ],
  ],
  [() => "/budgets", "Jobs with a budget", [["operator", "button", /^Extend the budget/]]],
];

test.each(order)("a %s is offered what the role may do, on every page, and nothing else", async (role) => {
  for (const [path, ready, things] of pages) {
    const page = await world.open(path(), { token: tokens.get(role) ?? "" });
    await page
      .getByRole("complementary")
      .getByText(people[role] ?? "")
      .waitFor();
    await page.getByRole("main").getByText(ready, { exact: false }).first().waitFor();
    for (const [needed, kind, name] of things) {
      const thing = page.getByRole(kind, { name, exact: typeof name === "string" });
      if (order.indexOf(role) >= order.indexOf(needed)) await thing.first().waitFor();
      else expect(await thing.count(), `${path()}: ${name} for a ${role}`).toBe(0);
    }
    await fits(page);
    if (role === "viewer") await accessible(page);
    await page.context().close();
  }
});

test("what is not for a role says whose it is, where an address leads to it", async () => {
  const token = tokens.get("viewer") ?? "";
  const said = [
    ["/tokens", "To see and make tokens, the role admin is needed; you have viewer."],
    ["/audit", "To see who changed what, the role admin is needed; you have viewer."],
    ["/definitions/+new", "To write definitions, the role admin is needed; you have viewer."],
    ["/definitions/fails?tab=run", "To run it, the role submitter is needed; you have viewer."],
    ["/definitions/fails?tab=edit", "To change definitions, the role admin is needed; you have viewer."],
    [`/jobs/${failed}`, "To retry it, rerun it, or run it anew, the role operator is needed; you have viewer."],
    ["/", "To let it go on, the role operator is needed; you have viewer."],
  ] as const;
  for (const [path, text] of said) {
    const page = await world.open(path, { token, phone: true });
    await page.getByText(text).first().waitFor();
    await page.getByRole("heading", { level: 1 }).waitFor();
    await fits(page);
    await accessible(page);
    await page.context().close();
  }
});

test("who has a token votes in its name, and only when asked", async () => {
  const other = await world.open("/", { token: tokens.get("otto") ?? "" });
  await other.getByText("You are otto, who is not asked here.").waitFor();
  const page = await world.open("/", { token: tokens.get("operator") ?? "" });
  await page.getByRole("button", { name: "Approve…" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Approve" }).click();
  await page.getByText("Your approval is counted.").waitFor();
  await page.getByText("You (olga) have approved; others have to vote.").waitFor();
});

test("the keys and the palette offer no more than the page, and let one sign out", async () => {
  const page = await world.open("/jobs", { token: tokens.get("submitter") ?? "" });
  await page.getByText("4 jobs, the newest first").waitFor();
  await page.keyboard.press("?");
  const list = page.getByRole("dialog");
  await list.getByText("Next job").waitFor();
  expect(await list.getByText("Cancel the selected jobs").count()).toBe(0);
  expect(await list.getByText("Tokens").count()).toBe(0);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Find jobs, definitions, pages, actions").fill("sign out");
  await page.getByRole("option", { name: "Sign out (sam, submitter)" }).waitFor();
  await accessible(page);
});
