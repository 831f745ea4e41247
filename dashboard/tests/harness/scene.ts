import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Api } from "../../src/api/client";
import type { Client } from "./client";

const examples = join(import.meta.dirname, "../../../workflows/examples");

/** Definitions that come with the product, by the names of their files. */
export async function examplesOf(...names: string[]): Promise<string[]> {
  return await Promise.all(names.map((name) => readFile(join(examples, `${name}.yaml`), "utf8")));
}

/** What a sender of webhooks does. */
export async function deliver(
  api: Client,
  {
    type,
    name,
    secret,
    body,
    event = "issues",
    id,
  }: Record<"type" | "name" | "secret", string> & {
    body: unknown;
    event?: string;
    id: string;
  },
): Promise<Api<"WebhookAnswer">> {
  const text = JSON.stringify(body);
  const proof = createHmac("sha256", secret).update(text).digest("hex");
  const response = await fetch(`${api.url}/api/v1/hooks/${type}/${name}`, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-GitHub-Event": event,
      "X-GitHub-Delivery": id,
      "X-Hub-Signature-256": `sha256=${proof}`,
    },
    body: text,
  });
  return (await response.json()) as Api<"WebhookAnswer">;
}

/** An agent that needs nothing: it pays for as many turns as it is told, and says that it is done. */
export function agentOf(
  type: string,
  { usd, turns, more = "" }: { usd: string; turns: string; more?: string },
): string {
  return `
job_type: ${type}
params: {Turns: {type: integer, default: ${turns}}, Usd: {default: "${usd}"}, Repo: {default: acme/shop}, Says: {default: Done.}}
description: "Change {{ Repo }}"
${more}
defaults: {shell: [sh, -eu]}
outcome:
  kind: pull_request
  repository: "{{ Repo }}"
  url: "{{ tasks.propose.outputs.url }}"
  state: "{{ tasks.propose.outputs.state }}"
tasks:
  - task_type: work
    environment: {TURNS: "{{ Turns }}", USD: "{{ Usd }}", SAYS: "{{ Says }}"}
    agent:
      cli: custom
      command:
        - sh
        - -c
        - |
          cat >/dev/null
          echo '{"type":"session","id":"session-1","model":"stand-in-1"}'
          turn=0
          while [ "$turn" -lt "$TURNS" ]; do
            turn=$((turn + 1))
            echo '{"type":"turn"}'
            echo '{"type":"usage","input":1200,"output":80,"usd":'"$USD"'}'
          done
          echo '{"type":"result","text":"Done."}'
      prompt: Make the tests pass.
    on_completed: propose
  - task_type: propose
    script:
      - echo "url=https://forge.example/pulls/7" >>"$ATTA_OUTPUT"
      - echo "state=merged" >>"$ATTA_OUTPUT"
    outputs: [url, state]
`;
}
