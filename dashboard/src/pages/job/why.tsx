import { useQuery } from "@tanstack/react-query";
import { VoteBox } from "../../app/vote";
import { plain } from "../../log/ansi";
import { cn } from "../../ui/cn";
import { Outside } from "../../ui/outside";
import { lookOf, type Tone } from "../../ui/state";
import { explain } from "./explain";
import type { Attempt, Job, SearchChange } from "./job";
import { approvalsQuery, logEndQuery, outcomeQuery } from "./requests";

const sides: Record<Tone, string> = {
  ok: "border-l-ok",
  bad: "border-l-bad",
  run: "border-l-run",
  ask: "border-l-ask",
  idle: "border-l-strong",
};

/** Why the job is as it is, and how it can go on: the first thing to be read. */
export function Why({
  job,
  onSearch,
  children,
}: {
  job: Job;
  onSearch: (change: SearchChange) => void;
  /** The buttons for what can be done. */
  children: React.ReactNode;
}) {
  const said = explain(job);
  const open = job.state === "WAITING" || job.state === "RUNNING" || job.state === "PAUSED";
  const approvals = useQuery({ ...approvalsQuery(job.job_id), enabled: open });
  const outcome = useQuery({ ...outcomeQuery(job.job_id), enabled: job.agents != null });
  const url = outcome.data?.url;
  const { icon: Icon } = lookOf(job.state);
  const attempt = job.tasks.find((task) => task.task_type === said.task)?.attempt_list?.at(-1);
  return (
    <section
      aria-label="Why it is in this state"
      className={cn("mb-4 rounded-lg border border-l-4 border-line bg-panel p-4", sides[said.tone])}
    >
      <div className="flex flex-wrap items-start gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-96" aria-live="polite">
          <h2 className="flex items-center gap-2 text-base font-semibold">
            <Icon aria-hidden size={16} className="shrink-0" />
            {said.heading}
          </h2>
          <p className="mt-1 max-w-prose break-words whitespace-pre-line">{said.sentence}</p>
          {said.questions.length > 0 && (
            <div className="mt-2 max-w-prose rounded-md bg-raised px-3 py-2">
              <p className="text-xs font-medium text-soft">In the agent's words</p>
              <ul className={cn(said.questions.length > 1 && "list-disc pl-4")}>
                {said.questions.map((question) => (
                  <li key={question} className="break-words">
                    {question}
                  </li>
                ))}
              </ul>
            </div>
          )}
          {said.tone === "bad" && attempt && attempt.log_bytes > 0 && <LogEnd jobId={job.job_id} attempt={attempt} />}
          <p className="mt-1.5 flex flex-wrap items-center gap-x-4 text-soft">
            {said.task && (
              <button
                type="button"
                className="min-h-target text-accent underline underline-offset-2"
                onClick={() => onSearch({ task: said.task, attempt: undefined, compare: undefined, tab: undefined })}
              >
                Look at {said.task}
              </button>
            )}
            {said.code && <code className="text-xs">{said.code}</code>}
            {url && <Outcome url={url} state={outcome.data?.achieved} />}
          </p>
        </div>
        <div className="flex max-w-full flex-col gap-2">
          <p className="text-xs font-medium text-soft">
            {said.tone === "ask" || said.tone === "bad" ? "How it can go on" : "What you can do"}
          </p>
          <div className="flex flex-wrap gap-2">{children}</div>
          {job.state === "BLOCKED" && (
            <p className="max-w-sm text-xs text-soft">
              First answer where the work comes from (the issue, the pull request), or change the parameters. Run anew
              reads all of that again. Retry repeats what stopped, with what was read before.
            </p>
          )}
        </div>
      </div>
      {approvals.data?.items.map((approval) => (
        <div key={approval.approval_id} className="mt-3 border-t border-line pt-3">
          <p className="mb-1 break-words">
            <strong className="font-semibold">{approval.task} asks:</strong>{" "}
            <span className="whitespace-pre-line">{approval.message ?? "May it go on?"}</span>
          </p>
          <VoteBox approval={approval} />
        </div>
      ))}
    </section>
  );
}

const achieved: Record<string, string> = { merged: "merged", closed: "closed", open: "open" };

function Outcome({ url, state }: { url: string; state: string | undefined }) {
  const word = state === undefined ? undefined : achieved[state];
  const text = `${url.replace(/^https?:\/\//, "")}${word ? ` (${word})` : ""}`;
  return <Outside url={url} text={text} className="min-h-target underline underline-offset-2" />;
}

/** The last words of what failed. */
function LogEnd({ jobId, attempt }: { jobId: string; attempt: Attempt }) {
  const end = useQuery(logEndQuery(jobId, attempt, 4096));
  const text = end.data?.trimEnd().split("\n").slice(-8).map(plain).join("\n");
  if (!text) return null;
  return (
    <pre
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
      tabIndex={0}
      title="The end of its log"
      className="mt-2 overflow-x-auto rounded-md bg-raised p-2 font-mono text-xs"
    >
      {text}
    </pre>
  );
}
