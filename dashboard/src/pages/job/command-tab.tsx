import { useQuery } from "@tanstack/react-query";
import type { Api } from "../../api/client";
import { Commands } from "../../ui/copy";
import { Facts } from "../../ui/field";
import { Cell, Empty, Loaded, Table } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { duration, Time } from "../../ui/time";
import { exportsOf, requestOf, scriptOf } from "./command";
import type { Attempt } from "./job";
import { commandQuery } from "./requests";

type Command = Api<"CommandResource">;

/** What the ant was told to do: all of it as it was sent, but for the values of secrets. */
export function CommandTab({ jobId, attempt }: { jobId: string; attempt: Attempt }) {
  // What no ant was given, the server need not be asked for.
  const query = useQuery({ ...commandQuery(jobId, attempt.number), enabled: attempt.ant != null });
  if (attempt.ant == null)
    return (
      <Empty title="No ant was told anything">
        {attempt.state === "FINISHED"
          ? "What this task does, the server does itself, or it ended before an ant had it."
          : "It waits for an ant, or the server itself does what it is about."}
      </Empty>
    );
  return (
    <div className="p-4">
      <Loaded query={query}>
        {(command) =>
          typeof command === "string" ? <Empty title="It is not kept">{command}</Empty> : <Told command={command} />
        }
      </Loaded>
    </div>
  );
}

function Told({ command }: { command: Command }) {
  const {
    action,
    environment,
    inherits,
    secrets = [],
    inputs = [],
    artifacts,
    workspace,
    cache,
    outputs = [],
  } = command;
  return (
    <div className="flex flex-col gap-5">
      {command.cut && (
        <p className="text-ask">Long texts are cut in their middle here; the ant was told all of them.</p>
      )}
      <Action action={action} />
      <section>
        <h3 className="mb-1 font-semibold">Environment</h3>
        {environment.length === 0 ? (
          <p className="text-soft">No variables of its own.</p>
        ) : (
          <>
            <div className="rounded-md border border-line">
              <Table label="Environment" head={["Name", "Value"]}>
                {environment.map(({ name, value, secret }) => (
                  <tr key={name}>
                    <Cell className="min-w-36 font-mono text-xs break-all">{name}</Cell>
                    <Cell className="w-full font-mono text-xs break-all whitespace-pre-wrap">
                      {secret ? <Badge tone="idle">Secret, not shown</Badge> : <bdi>{value}</bdi>}
                    </Cell>
                  </tr>
                ))}
              </Table>
            </div>
            <details className="mt-2">
              <summary className="min-h-target cursor-pointer text-soft">As lines of a shell</summary>
              <Commands text={exportsOf(environment)} label="Copy the environment" />
            </details>
          </>
        )}
        <p className="mt-2 text-xs text-soft">
          Of the ant's own environment it got{" "}
          {inherits.all
            ? "everything"
            : inherits.names && inherits.names.length > 0
              ? `PATH, HOME, the locale and the like, and ${inherits.names.join(", ")}`
              : "PATH, HOME, the locale and the like"}
          .{secrets.length > 0 && ` Secrets that it was given: ${secrets.join(", ")}.`}
        </p>
      </section>
      <section>
        <h3 className="mb-1 font-semibold">Around it</h3>
        <Facts
          rows={[
            ["Given", <Time key="given" at={command.given_at} />],
            ["Directory", <code key="directory">{command.directory}</code>],
            ["Longest time", duration(command.timeout_ms)],
            ["Longest silence", command.idle_timeout_ms == null ? undefined : duration(command.idle_timeout_ms)],
            ["From TERM to KILL", duration(command.kill_grace_ms)],
            [
              "Workspace",
              workspace &&
                [
                  workspace.repository,
                  workspace.reference,
                  workspace.branch && `branch ${workspace.branch}`,
                  workspace.made ? "as tasks before it left it" : "made for it",
                ]
                  .filter(Boolean)
                  .join(", "),
            ],
            [
              "Brought",
              inputs.map(({ task, files, more = 0 }) => `${files.length + more} files of ${task}`).join(", "),
            ],
            ["Kept afterwards", artifacts && `${artifacts.paths.join(", ")} (${artifacts.when.replace("_", " ")})`],
            ["Cache", cache && `${cache.key}: ${cache.paths.join(", ")}`],
            ["Outputs that are read", outputs.join(", ")],
          ]}
        />
      </section>
    </div>
  );
}

function Action({ action }: { action: Command["action"] }) {
  switch (action.method) {
    case "SHELL":
      return (
        <>
          <Block title="Script" more={action.words.join(" ") || "bash -euo pipefail, or sh -eu where there is no bash"}>
            <Commands text={scriptOf(action.script)} label="Copy the script" />
          </Block>
          {action.after_script && (
            <Block title="After it, whatever came of it">
              <Commands text={scriptOf(action.after_script)} label="Copy what runs after it" />
            </Block>
          )}
        </>
      );
    case "HTTP":
      return (
        <Block title="Request">
          <Commands text={requestOf(action)} label="Copy the request" />
        </Block>
      );
    case "AGENT":
      return (
        <>
          <Facts
            rows={[
              ["Program", [action.choice.cli, ...(action.choice.command ?? [])].join(" ")],
              ["Model", action.choice.model],
              ["May", action.permission],
              ["Tools", (action.allowed_tools ?? []).join(", ")],
              ["Skills", (action.skills ?? []).join(", ")],
              ["Goes on in", action.resume?.id],
              ["Votes", action.vote > 1 ? String(action.vote) : undefined],
              ["Configured by", action.config_from],
              ["Prompt in", action.prompt_file],
            ]}
          />
          {action.system != null && (
            <Block title="Said before everything else">
              <Commands text={action.system} label="Copy what is said before" />
            </Block>
          )}
          {action.prompt != null && (
            <Block title="Prompt">
              <Commands text={action.prompt} label="Copy the prompt" />
            </Block>
          )}
        </>
      );
    case "GITHUB":
      return (
        <Block title={`GitHub: ${action.operation}`} more={`${action.api_url}, as ${action.app ?? action.credential}`}>
          <Commands text={JSON.stringify(action.settings, null, 2)} label="Copy the settings" />
        </Block>
      );
  }
}

function Block({ title, more, children }: { title: string; more?: string; children: React.ReactNode }) {
  return (
    <section className="min-w-0">
      <h3 className="mb-1 font-semibold">{title}</h3>
      {more && <p className="mb-1 font-mono text-xs break-all text-soft">{more}</p>}
      {children}
    </section>
  );
}
