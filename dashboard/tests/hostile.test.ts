import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { accessible, attack, fits, harmless, hostile, loaded, World } from "./harness";
import { agentOf } from "./harness/scene";

// Whoever can write an issue, a commit or a log line has his words on these pages. None of them may run, anywhere.
// A label is written by who writes the definition, and is no template.
const label = hostile.filter((each) => !/[{]{2}|[$][{]|[\0]/.test(each)).join(" ");
const job = `
job_type: hostile
labels: {team: ${JSON.stringify(label)}}
description: "{{ Words }}"
params: {Words: {required: true}}
user_key: "{{ Words }}"
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
    script: ['printf "%s\\n" "$WORDS"; exit 3']
`;

let world: World;
let id = "";

beforeAll(async () => {
  world = await World.start(["--slots", "2"]);
  await world.api.install(job, agentOf("change", { usd: "0.05", turns: "1" }));
  await world.api.ask("PUT", "/api/v1/configs/Words", { value: attack });
  id = (await world.api.run("hostile", { Words: attack })).job_id;
  await world.api.run("change", { Repo: attack });
});
afterAll(async () => await world.stop());
afterEach(() => world.quiet());

const json = (value: unknown) => encodeURIComponent(JSON.stringify(value));

const pages: [string, () => string][] = [
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
  ["an unknown job", () => "/jobs/%3Cscript%3Eattacked(1)%3C%2Fscript%3E"],
];

test.each(pages)("%s runs nothing that others have written, fits a phone and is accessible", async (_, path) => {
  const { page, allow } = await world.sheet(path(), { phone: true });
  // Asking for what is not there is answered 404 or 422, and the console says so.
  allow(/status of 4(04|00|22)/);
  await page.getByRole("heading", { level: 1 }).or(page.getByRole("alert")).first().waitFor();
  await page.waitForLoadState("load");
  await loaded(page);
  await harmless(page);
  await fits(page);
  await accessible(page);
  expect(await page.locator("main script, main iframe, main object").count()).toBe(0);
});
