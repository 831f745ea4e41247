import { useQuery } from "@tanstack/react-query";
import {
  Bot,
  Brain,
  ChevronDown,
  ChevronRight,
  CornerDownRight,
  Info,
  MessageSquare,
  User,
  Wrench,
} from "lucide-react";
import { useMemo, useState } from "react";
import { download } from "../../api/files";
import { cn } from "../../ui/cn";
import { bytes, count, Empty, Loaded, money } from "../../ui/kit";
import { Badge } from "../../ui/state";
import { Took } from "../../ui/time";
import { toast } from "../../ui/toast";
import { Fact, Facts } from "./facts";
import type { Agent, Attempt } from "./job";
import { Plain } from "./preview";
import { fileBeginQuery, fileUrl } from "./requests";
import { readTranscript, type Step } from "./transcript";

const transcript = "agent/transcript.jsonl";

/** What is known of an agent's work: what it said, used and changed, and what it did step by step. */
export function AgentTab({ jobId, attempt, agent }: { jobId: string; attempt: Attempt; agent: Agent }) {
  const stored = attempt.artifacts.find((each) => each.name === transcript && !each.expired_at && each.size > 0);
  return (
    <div className="flex flex-col gap-4 p-4">
      <div className="flex flex-wrap items-start gap-2">
        {agent.class && <Badge tone={agent.class === "DONE" ? "ok" : "ask"}>{agent.class}</Badge>}
        <p className="min-w-0 flex-1 break-words">{agent.message || "It has not ended."}</p>
      </div>
      <Facts>
        <Fact name="Cost">
          {money(agent.cost_usd)}
          {agent.cost_source && agent.cost_source !== "reported" && (
            <span className="text-soft"> ({agent.cost_source === "mixed" ? "partly from prices" : "from prices"})</span>
          )}
        </Fact>
        <Fact name="Turns">{count(agent.turns)}</Fact>
        <Fact name="Tokens">
          {agent.tokens ? (
            <span title="in, out, read from and written to a cache">
              {count(agent.tokens.input)} in · {count(agent.tokens.output)} out · {count(agent.tokens.cache_read)}{" "}
              cached
            </span>
          ) : (
            "–"
          )}
        </Fact>
        <Fact name="Program">{[agent.cli, agent.model].filter(Boolean).join(", ") || "–"}</Fact>
        {agent.session && (
          <Fact name="Session">
            <code className="break-all">{agent.session.id}</code>
          </Fact>
        )}
        {agent.limit && <Fact name="Limit">{agent.limit.message}</Fact>}
      </Facts>
      {agent.verdict != null && <Verdict verdict={agent.verdict} />}
      {(agent.commits.length > 0 || agent.files_changed.length > 0) && (
        <section>
          <h3 className="mb-1 font-semibold">Changed</h3>
          <Changed agent={agent} />
        </section>
      )}
      {agent.denials.length > 0 && (
        <section>
          <h3 className="mb-1 font-semibold">Refused tools</h3>
          <ul className="flex flex-col gap-1">
            {agent.denials.map((denial, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the same may be refused twice, and the list does not move
              <li key={index} className="break-words">
                <code>{denial.tool}</code> <span className="text-soft">{denial.detail}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {agent.runs.length > 1 && <Runs agent={agent} />}
      <section>
        <h3 className="mb-1 font-semibold">What it did</h3>
        {stored ? (
          <Transcript jobId={jobId} attempt={attempt.number} size={stored.size} />
        ) : (
          <p className="text-soft">
            {attempt.state === "FINISHED"
              ? "No transcript was kept; the log has what could be read along."
              : "The log shows it while it works; the transcript comes when it has ended."}
          </p>
        )}
      </section>
    </div>
  );
}

/** Commits and files, in the agent's own words. */
export function Changed({ agent }: { agent: Agent }) {
  return (
    <div className="flex flex-col gap-2">
      {agent.commits.length > 0 && (
        <ul className="flex flex-col gap-1">
          {agent.commits.map((commit) => (
            <li key={commit.id} className="flex gap-2">
              <code className="text-soft" title={commit.id}>
                {commit.id.slice(0, 9)}
              </code>
              <span className="min-w-0 break-words">{commit.subject}</span>
            </li>
          ))}
        </ul>
      )}
      {agent.files_changed.length > 0 && (
        <ul className="flex flex-wrap gap-x-3 gap-y-1 font-mono text-xs text-soft">
          {agent.files_changed.map((file) => (
            <li key={file} className="break-all">
              {file}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The verdict: texts as texts, lists as lists, anything else as JSON. */
function Verdict({ verdict }: { verdict: unknown }) {
  const entries =
    typeof verdict === "object" && verdict !== null && !Array.isArray(verdict) ? Object.entries(verdict) : undefined;
  return (
    <section>
      <h3 className="mb-1 font-semibold">Verdict</h3>
      {entries === undefined ? (
        <Plain text={JSON.stringify(verdict, null, 2)} />
      ) : (
        <dl className="grid grid-cols-[minmax(5rem,auto)_1fr] gap-x-3 gap-y-1.5">
          {entries.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-soft">{name}</dt>
              <dd className="min-w-0 break-words whitespace-pre-wrap">
                {typeof value === "string" ? (
                  value
                ) : Array.isArray(value) && value.every((each) => typeof each === "string") ? (
                  value.length === 0 ? (
                    <span className="text-soft">none</span>
                  ) : (
                    <ul className="list-disc pl-4">
                      {value.map((each) => (
                        <li key={each}>{each}</li>
                      ))}
                    </ul>
                  )
                ) : (
                  <code>{JSON.stringify(value)}</code>
                )}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}

const purposes = {
  work: "to work",
  reask: "asked again for its verdict",
  fallback: "as a fallback",
  vote: "as one of several votes",
};

function Runs({ agent }: { agent: Agent }) {
  return (
    <section>
      <h3 className="mb-1 font-semibold">Runs</h3>
      <ol className="flex flex-col gap-1">
        {agent.runs.map((run, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: runs come in their order
          <li key={index} className="flex flex-wrap gap-x-2">
            <span>
              {run.cli}
              {run.model ? ` (${run.model})` : ""}, {purposes[run.purpose]}
            </span>
            <span className="text-soft">
              {run.class ?? "runs"} · {run.turns} turns · {money(run.cost_usd)} ·{" "}
              <Took from={run.started_at} until={run.ended_at} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

const atFirst = 200;

/** More bytes of a transcript are not read: the page would stand still over it. */
const mostRead = 8 << 20;

function Transcript({ jobId, attempt, size }: { jobId: string; attempt: number; size: number }) {
  const query = useQuery(fileBeginQuery(jobId, attempt, transcript, mostRead));
  return (
    <>
      {size > mostRead && (
        <p className="mb-2 text-xs text-ask">
          It has {bytes(size)}; this is of its first {bytes(mostRead)}.{" "}
          <button
            type="button"
            className="min-h-target text-accent underline"
            onClick={() =>
              void download(fileUrl(jobId, attempt, transcript), transcript).catch((error) =>
                toast.bad("The transcript could not be downloaded", error),
              )
            }
          >
            Download all of it
          </button>
        </p>
      )}
      <Loaded query={query}>{(text) => <Steps text={text} />}</Loaded>
    </>
  );
}

function Steps({ text }: { text: string }) {
  const { steps, unknown } = useMemo(() => readTranscript(text), [text]);
  const [shown, setShown] = useState(atFirst);
  if (steps.length === 0) return <Empty title="Nothing in it can be read">The file is among the artifacts.</Empty>;
  const calls = steps.filter((step) => step.kind === "call").length;
  return (
    <div>
      <p className="mb-2 text-xs text-soft">
        {calls} {calls === 1 ? "call" : "calls"} of tools
        {unknown > 0 && ` · ${unknown} lines were not understood and are left out here`}
      </p>
      <ol className="flex flex-col gap-1.5">
        {steps.slice(0, shown).map((step, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a transcript does not change
          <li key={index}>
            <StepRow step={step} />
          </li>
        ))}
      </ol>
      {shown < steps.length && (
        <button type="button" className="mt-2 min-h-8 text-accent" onClick={() => setShown(shown + 1000)}>
          Show more ({steps.length - shown} left)
        </button>
      )}
    </div>
  );
}

function StepRow({ step }: { step: Step }) {
  switch (step.kind) {
    case "run":
      return <p className="mt-1 border-b border-line pb-1 text-xs font-medium text-soft">{step.text}</p>;
    case "message":
      return (
        <Line icon={step.by === "user" ? User : step.text.startsWith("{") ? Bot : MessageSquare}>
          <p className="break-words whitespace-pre-wrap">{step.text}</p>
        </Line>
      );
    case "thinking":
      return <Folded icon={Brain} title="Thinking" text={step.text} />;
    case "call":
      return <Folded icon={Wrench} title={step.tool} text={step.input} />;
    case "answer":
      return (
        <Folded icon={CornerDownRight} title={step.failed ? "Error" : "Answer"} text={step.text} bad={step.failed} />
      );
    case "note":
      return (
        <Line icon={Info}>
          <p className="break-words text-soft">{step.text}</p>
        </Line>
      );
  }
}

function Line({ icon: Icon, children }: { icon: typeof Bot; children: React.ReactNode }) {
  return (
    <div className="flex gap-2">
      <Icon aria-hidden size={14} className="mt-0.5 shrink-0 text-soft" />
      <div className="min-w-0 flex-1">{children}</div>
    </div>
  );
}

function Folded({ icon, title, text, bad = false }: { icon: typeof Bot; title: string; text: string; bad?: boolean }) {
  const [open, setOpen] = useState(false);
  const line = text.replace(/\s+/g, " ").trim();
  const Arrow = open ? ChevronDown : ChevronRight;
  return (
    <Line icon={icon}>
      <button
        type="button"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        className="flex min-h-target w-full min-w-0 items-center gap-1.5 rounded text-left hover:bg-raised"
      >
        <span className={cn("shrink-0 font-medium", bad && "text-bad")}>{title}</span>
        {!open && <span className="min-w-0 flex-1 truncate font-mono text-xs text-soft">{line.slice(0, 300)}</span>}
        <Arrow aria-hidden size={13} className="ml-auto shrink-0 text-soft" />
      </button>
      {open && <Plain text={text === "" ? "(nothing)" : text} />}
    </Line>
  );
}
