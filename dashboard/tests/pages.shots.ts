import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { Client, fits, loaded, World } from "./harness";
import { agentOf, deliver, examplesOf } from "./harness/scene";

const folder = join(import.meta.dirname, "../screenshots");
let world: World;
let job = "";
let flaky = "";
let parts = "";
let viewer = "";
let typed = "";
let changed = "";

const change = `
job_type: change
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: work
    script:
      - |
        cat >work.patch <<'END'
        diff --git a/src/totals.ts b/src/totals.ts
        --- a/src/totals.ts
        +++ b/src/totals.ts
        @@ -40,3 +40,3 @@
         export function total(lines: Line[]): Money {
        -  return lines.reduce((sum, line) => sum.plus(line.price.rounded()), zero);
        +  return lines.reduce((sum, line) => sum.plus(line.price), zero).rounded();
         }
        END
    artifacts: {paths: ["*.patch"]}
`;

beforeAll(async () => {
  await mkdir(folder, { recursive: true });
  world = await World.start(["--slots", "4", "--budget-per-day", "usd=100,tokens=2000000", "--allow-private-webhooks"]);
  const secret = "a-secret-of-the-forge";
  await world.api.ask("PUT", "/api/v1/configs/IssuesWebhook", { value: secret, secret: true });
  await world.api.ask("PUT", "/api/v1/configs/Region", { value: "eu-central-1" });
  await world.api.ask("PUT", "/api/v1/configs/Limits", { value: { parallel: 4, retries: [1, 5, 30] } });
  await world.api.install(
    agentOf("fix-issue", { usd: "0.05", turns: "4" }),
    agentOf("fix-issue", { usd: "0.07", turns: "6" }),
    change,
    "job_type: shell\ntasks:\n  - {task_type: look-around, tty: true, script: [ls -la /etc | head -20; cat]}\n",
    agentOf("upgrade-dependencies", { usd: "1", turns: "6", more: "budget: {usd: 2}" }),
    ...(await examplesOf(
      "agent",
      "agent-accounts",
      "approval",
      "blocked",
      "fan-out",
      "about",
      "loop",
      "schedule",
      "webhook",
      "retry",
    )),
  );
  for (const repo of ["acme/shop", "acme/shop", "acme/billing"]) await world.api.run("fix-issue", { Repo: repo });
  await world.api.run("example-agent-accounts");
  await world.api.run("example-agent", { Text: "Two and two are five." });
  job = (await world.api.run("fix-issue", { Turns: 11 })).job_id;
  flaky = (await world.api.run("example-retry")).job_id;
  parts = (await world.api.run("example-fan-out", { Broken: "cli" })).job_id;
  await world.api.run("example-about");
  changed = (await world.api.run("change")).job_id;
  typed = await world.api.submit("shell");
  await world.api.state(await world.api.submit("upgrade-dependencies"), "PAUSED");
  await world.api.state(await world.api.submit("approval"), "WAITING");
  const issue = (number: number, title: string) => ({
    action: "labeled",
    label: { name: "ai-ready" },
    issue: { number, title },
  });
  for (const [id, body] of Object.entries({ a: issue(7, "Shout"), b: { action: "closed" }, c: issue(8, "Bow") })) {
    await deliver(world.api, { type: "webhook", name: "issues", secret, id, body });
  }
  const ann = new Client(world.server.url, await world.api.token("ann-laptop", "admin", "ann"));
  await ann.ask("POST", "/api/v1/tokens", { name: "ci", role: "submitter", expires_in: 86_400 * 30 });
  viewer = await ann.token("vera-laptop", "viewer", "vera");
  await ann.ask("PUT", "/api/v1/configs/DeployKey", { value: "not-a-key-but-long", secret: true });
  await ann.submit("fix-issue", { Repo: "acme/billing" });
  await ann.ask("POST", "/api/v1/ants/local/drain");
  await ann.ask("POST", "/api/v1/ants/local/uncordon");
});
afterAll(async () => await world.stop());

const paths: Record<string, () => string> = {
  now: () => "/",
  jobs: () => "/jobs",
  job: () => `/jobs/${job}`,
  timeline: () => `/jobs/${flaky}?view=timeline`,
  tasks: () => `/jobs/${parts}?view=tasks`,
  changes: () => `/jobs/${changed}?view=changes`,
  details: () => `/jobs/${job}?view=details`,
  items: () => `/jobs/${parts}?task=build&tab=items`,
  log: () => `/jobs/${flaky}?task=flaky&tab=log`,
  compare: () => `/jobs/${flaky}?task=flaky&attempt=3&compare=1`,
  terminal: () => `/jobs/${typed}/attempts/1/terminal`,
  command: () => `/jobs/${job}?task=propose&tab=command`,
  definitions: () => "/definitions",
  "definition-new": () => "/definitions/+new",
  definition: () => "/definitions/fix-issue",
  "definition-run": () => "/definitions/fix-issue?tab=run",
  "definition-edit": () => "/definitions/fix-issue?tab=edit",
  "definition-versions": () => "/definitions/fix-issue?tab=versions",
  "dry-run": () =>
    `/definitions/example-loop?tab=dry-run&assume=${encodeURIComponent('{"test":{"results":"3, 3, 0"}}')}`,
  schedules: () => "/schedules",
  outcomes: () => "/outcomes",
  budgets: () => "/budgets",
  ants: () => "/ants",
  configs: () => "/configs",
  triggers: () => "/triggers",
  notifications: () => "/notifications",
  tokens: () => "/tokens",
  audit: () => "/audit",
  viewer: () => "/",
  "sign-in": () => "/audit",
};

/** Who looks, where it is not everybody; a token that the server does not know is asked for again. */
const tokens: Record<string, () => string> = { viewer: () => viewer, "sign-in": () => "of-nobody" };

test.each(Object.entries(paths))("%s", async (name, path) => {
  for (const phone of [false, true]) {
    for (const dark of [false, true]) {
      const token = tokens[name]?.();
      const { page, allow } = await world.sheet(path(), { phone, dark, ...(token !== undefined && { token }) });
      if (name === "sign-in") allow(/401/);
      await page.getByRole("heading", name === "sign-in" ? { name: "Sign in to Atta" } : { level: 1 }).waitFor();
      await loaded(page);
      await fits(page);
      const file = `${name}-${phone ? "phone" : "wide"}-${dark ? "dark" : "light"}.png`;
      await page.screenshot({ path: join(folder, file), fullPage: !phone });
      await page.context().close();
    }
  }
});
