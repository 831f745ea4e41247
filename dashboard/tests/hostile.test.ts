import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Api } from "../src/api/client";
import { accessible, attack, Client, fits, harmless, hostile, loaded, World } from "./harness";
import { agentOf } from "./harness/scene";

// Whoever can write an issue, a commit or a log line has his words on these pages. None of them may run, anywhere.
// A label is written by who writes the definition, and is no template.
const label = hostile.filter((each) => !/[{]{2}|[$][{]|[\0]/.test(each)).join(" ");
const job = `
job_type: hostile
labels: {team: ${JSON.stringify(label)}}
description: "{{ Words }}"
params:
  Words: {required: true, description: ${JSON.stringify(label)}}
  Kind: {enum: [${JSON.stringify(label)}, plain], default: plain}
user_key: "{{ Words }}"
webhook: {url: "http://127.0.0.1:9/{{ Words | urlencode }}", when: always}
defaults: {shell: [sh, -eu]}
tasks:
  - task_type: tell
    environment: {WORDS: "{{ Words }}"}
    script:
      - printf '%s\\n' "$WORDS"
      - printf '%s\\n' "$WORDS" >&2
      - mkdir -p out
      - printf '%s\\n' "$WORDS" >"out/<img src=x onerror=attacked(1)>.md"
      - printf '{"said":"x"}' >"out/plain.json"
      - printf 'said<<END\\n%s\\nEND\\n' "$WORDS" >>"$ATTA_OUTPUT"
    outputs: [said]
    artifacts: {paths: ["out/*"]}
    on_completed: fail
  - task_type: fail
    environment: {WORDS: "{{ Words }}"}
    retry: 1
    delay_between_retries: 20ms
    script: ['printf "%s %s\\n" "$WORDS" "{{ TaskAttempt }}"; exit 3']
`;
const asks = `
job_type: asks
params: {Words: {required: true}}
description: "{{ Words }}"
tasks:
  - task_type: ask
    approval: {users: [ann], message: "{{ Words }}"}
`;
const scheduled = `
job_type: scheduled
cron_trigger: "30 2 * * 1-5"
description: ${JSON.stringify(label)}
params: {Words: {default: ${JSON.stringify(label)}}}
tasks:
  - {task_type: one, script: [echo one]}
`;

let world: World;
let id = "";
let cancelled = "";
let told = "";
let attempts: number[] = [];

beforeAll(async () => {
  world = await World.start(["--slots", "2", "--allow-private-webhooks"]);
  await world.api.install(job.replace("exit 3", "exit 4"), job, asks, scheduled);
  await world.api.install(agentOf("change", { usd: "0.05", turns: "1" }));
  await world.api.ask("PUT", "/api/v1/configs/Words", { value: attack });
  const ran = await world.api.run("hostile", { Words: attack });
  id = ran.job_id;
  attempts = (ran.tasks.find((each) => each.task_type === "fail")?.attempt_list ?? []).map((each) => each.number);
  const sent = await world.api.ask<Api<"Page_NotificationResource">>("GET", "/api/v1/notifications");
  told = sent.items[0]?.notification_id ?? "";
  // Only what is done with a token is in the audit. No token has a hostile name, but one may be long.
  await expect(world.api.token(label.slice(0, 90), "admin", "mallory")).rejects.toThrow("INVALID_NAME");
  const mallory = new Client(world.server.url, await world.api.token("m".repeat(100), "admin", "mallory"));
  await expect(mallory.ask("DELETE", `/api/v1/configs/${encodeURIComponent(label)}`)).rejects.toThrow(" 4");
  cancelled = await world.api.submit("asks", { Words: attack });
  await world.api.state(cancelled, "WAITING");
  await mallory.ask("POST", `/api/v1/jobs/${cancelled}/cancel`, { reason: attack });
  await world.api.ended(cancelled);
  await world.api.run("change", { Repo: attack });
});
afterAll(async () => await world.stop());
afterEach(() => world.quiet());

const json = (value: unknown) => encodeURIComponent(JSON.stringify(value));

const pages: [string, () => string, token?: string][] = [
  ["/", () => "/"],
  ["/jobs", () => "/jobs"],
  ["a job", () => `/jobs/${id}`],
  ["/definitions", () => "/definitions"],
  ["a definition", () => "/definitions/hostile"],
  ["a dry run", () => `/definitions/hostile?tab=dry-run&given=${json({ Words: attack })}`],
  [
    "a dry run that makes no sense",
    () =>
      `/definitions/hostile?tab=dry-run&given=${json({ Words: "x" })}&assume=${json({ [attack]: { results: attack } })}`,
  ],
  ["a command", () => `/jobs/${id}?task=tell&tab=command`],
  ["files", () => `/jobs/${id}?task=tell&tab=files`],
  ["a label", () => `/jobs?label=${json([label, attack])}`],
  ["/outcomes", () => "/outcomes?by=repository"],
  ["/budgets", () => "/budgets"],
  ["/ants", () => "/ants"],
  ["/configs", () => "/configs"],
  ["a URL", () => `/jobs?text=${encodeURIComponent(attack)}`],
  ["filters", () => `/outcomes?definition=${encodeURIComponent(attack)}&by=${encodeURIComponent(attack)}`],
  ["a cancelled job", () => `/jobs/${cancelled}?view=details`],
  ["two attempts beside each other", () => `/jobs/${id}?task=fail&attempt=${attempts[1]}&compare=${attempts[0]}`],
  ["versions", () => "/definitions/hostile?tab=versions"],
  ["the editor", () => "/definitions/hostile?tab=edit"],
  ["the form of a run", () => "/definitions/hostile?tab=run"],
  ["/schedules", () => "/schedules"],
  ["/notifications", () => "/notifications"],
  ["a notification", () => `/notifications?id=${told}`],
  ["/tokens", () => "/tokens"],
  ["/audit", () => "/audit"],
  ["signing in", () => `/audit?text=${encodeURIComponent(attack)}`, "of-nobody"],
  ["an unknown job", () => "/jobs/%3Cscript%3Eattacked(1)%3C%2Fscript%3E"],
];

test.each(pages)("%s runs nothing that others have written, fits a phone and is accessible", async (_, path, token) => {
  const { page, allow } = await world.sheet(path(), { phone: true, ...(token !== undefined && { token }) });
  // Asking for what is not there is answered 404 or 422, without a good token 401, and the console says so.
  allow(token === undefined ? /status of 4(04|00|22)/ : /status of 401/);
  const shown = [
    page.getByRole("alert"),
    page.getByRole("dialog"),
    page.getByRole("heading", { name: "Sign in to Atta" }),
  ];
  await shown
    .reduce((any, each) => any.or(each), page.getByRole("heading", { level: 1 }))
    .first()
    .waitFor();
  await page.waitForLoadState("load");
  await loaded(page);
  await harmless(page);
  await fits(page);
  await accessible(page);
  expect(await page.locator("main script, main iframe, main object").count()).toBe(0);
});
