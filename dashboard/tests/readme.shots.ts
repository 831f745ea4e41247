import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { live, loaded, World } from "./harness";
import { agentOf } from "./harness/scene";

// The pictures of README.md, small enough for a repository. To renew them:
//   make screenshots && cp dashboard/screenshots/readme-*.png docs/images/
const folder = join(import.meta.dirname, "../screenshots");
/** More than this nobody wants to load for a README. */
const most = 150_000;

const agent = (name: string, says: string, next: string, more = "") => `
  - task_type: ${name}
    agent:
      cli: custom
      command:
        - sh
        - -c
        - |
          cat >/dev/null
          echo '{"type":"session","id":"${name}-1","model":"stand-in-1"}'
          for turn in 1 2 3 4 5 6 7; do
            echo '{"type":"turn"}'
            echo '{"type":"usage","input":5210,"output":340,"usd":0.031}'
          done
          echo '{"type":"result","text":"${says}"}'
      prompt: "${says}"
    ${next}${more}`;

const implement = `
job_type: implement-issue
version: 3.2.0
description: "{{ Repo }}#{{ Issue }}: {{ Title }}"
params: {Repo: {required: true}, Issue: {type: integer, required: true}, Title: {required: true}, Go: {required: true}}
defaults: {shell: [bash, -eu]}
tasks:
${agent("plan", "Sum before rounding, and round once.", "on_completed: implement")}
${agent("implement", "Rounds once, at the end.", "on_completed: unit-test")}
  - task_type: unit-test
    max_visits: 3
    script:
      - |
        ok() { printf '\\033[32mPASS\\033[0m  %-34s \\033[2m%s ms\\033[0m\\n' "$1" "$2"; }
        echo '::group::Install'; echo 'added 214 packages in 3 s'; echo '::endgroup::'
        printf '\\033[1m> npm test\\033[0m\\n\\n'
        ok 'cart adds a line' 12; ok 'cart removes a line' 4; ok 'tax of an empty cart' 2
        if [ "{{ TaskVisit }}" -lt 2 ]; then
          printf '\\033[31mFAIL\\033[0m  %s\\n' 'totals are rounded once'
          printf '      expected \\033[32m"19.99"\\033[0m, got \\033[31m"20.00"\\033[0m\\n'
          printf '      at \\033[36mtests/totals.test.ts:41\\033[0m\\n\\n1 of 31 tests failed\\n'; exit 3
        fi
        ok 'totals are rounded once' 7; ok 'three currencies in one cart' 21; ok 'a coupon after taxes' 9
        printf '\\n\\033[32;1m31 tests passed\\033[0m in 4.2 s\\n'
    on_exit_code: {COMPLETED: self-verify, 3: fix-tests}
${agent("fix-tests", "The test was right: the old rounding was left in one place.", "on_completed: unit-test", "\n    max_visits: 3")}
${agent("self-verify", "It does what the issue asks for.", "on_completed: push")}
  - {task_type: push, script: [echo pushed], on_completed: monitor-pr}
  - task_type: monitor-pr
    environment: {GO: "{{ Go }}"}
    script: ['until [ -e "$GO" ]; do sleep 0.1; done']
    on_exit_code: {COMPLETED: learn}
  - {task_type: learn, script: [echo learned]}
`;

const release = `
job_type: release
version: 1.4.0
description: "Release {{ Version }}"
params: {Version: {required: true}}
tasks:
  - task_type: publish
    approval: {users: [ann, bob], min_approvals: 1, message: "Publish {{ Version }} to everybody? 14 changes, all checks are green."}
    on_exit_code: {APPROVED: upload, REJECTED: END_BLOCKED}
  - {task_type: upload, script: [echo uploaded]}
`;

const ask = `
job_type: triage-issue
version: 1.1.0
description: "acme/billing#88: Refund a part of an invoice"
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: plan
    script:
      - |
        echo '{"verdict":{"summary":"Two ways to refund, and the issue names none.","questions":["As a credit note, or as a negative invoice?"]}}' >"$ATTA_OUTPUT"
        exit 2
    outputs: [verdict]
    on_exit_code: {2: END_BLOCKED}
`;

let world: World;
let job = "";

beforeAll(async () => {
  await mkdir(folder, { recursive: true });
  world = await World.start(["--slots", "6", "--budget-per-day", "usd=20"]);
  await world.api.install(implement, release, ask, agentOf("fix-issue", { usd: "0.11", turns: "6" }));
  for (const repo of ["acme/shop", "acme/billing", "acme/shop", "acme/search"])
    await world.api.run("fix-issue", { Repo: repo });
  await world.api.run("triage-issue");
  await world.api.state(await world.api.submit("release", { Version: "2.4.0" }), "WAITING");
  const issue = (number: number, title: string) => ({
    Repo: "acme/shop",
    Issue: number,
    Title: title,
    Go: `${world.server.directory}/go`,
  });
  for (const [number, title] of [
    [417, "Prices lose their last cent"],
    [421, "Show the delivery date in the cart"],
  ] as const) {
    job = await world.api.submit("implement-issue", issue(number, title));
    await world.api.until(job, ({ tasks }) =>
      tasks.some((each) => each.task_type === "monitor-pr" && each.state === "RUNNING"),
    );
  }
});
afterAll(async () => await world.stop());

async function picture(page: Page, name: string, width = 1200, height = 720): Promise<void> {
  await page.setViewportSize({ width, height });
  await loaded(page);
  await live(page);
  const bytes = await page.screenshot({ path: join(folder, `readme-${name}.png`) });
  expect(bytes.length, `readme-${name}.png`).toBeLessThan(most);
}

test("Now, with what needs somebody", async () => {
  const page = await world.open("/");
  await page.getByText("As a credit note, or as a negative invoice?").waitFor();
  await picture(page, "now");
});

test("a job, with its graph and the log of a task", async () => {
  const page = await world.open(`/jobs/${job}?task=unit-test`, { dark: true });
  await page.getByText("31 tests passed").waitFor();
  await page.locator(".react-flow__node").first().waitFor();
  // Wide enough for both beside each other.
  await picture(page, "job", 1340, 780);
});

test("what came of the work, and what it cost", async () => {
  const page = await world.open("/outcomes");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await picture(page, "outcomes");
});
