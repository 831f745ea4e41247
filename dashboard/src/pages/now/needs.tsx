import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleHelp, GitPullRequest, Hand, Pause, Wallet } from "lucide-react";
import { confirmResume, confirmRetry } from "../../app/actions";
import { NotYours, useMay } from "../../app/caller";
import { hide, showAgain } from "../../app/hidden";
import { hideKey, type Need, type PullWait, whyBlocked } from "../../app/inbox";
import { jobQuery } from "../../app/overview";
import { VoteBox } from "../../app/vote";
import { Button, Empty, Panel } from "../../ui/kit";
import { Outside } from "../../ui/outside";
import { Time } from "../../ui/time";
import { toast } from "../../ui/toast";
import { BudgetForm } from "./budget-form";
import { JobTitle } from "./rows";

/** A kind of jobs of which only the newest are looked at. */
export interface Cut {
  shown: number;
  /** How many there are. */
  all: string;
  state: "PAUSED" | "BLOCKED";
}

/** Everything that waits for a person, with what one can do about it in place. */
export function NeedsYou({
  needs,
  pulls,
  hidden,
  cuts,
}: {
  needs: Need[];
  pulls: PullWait[];
  /** The keys of blocked jobs that are left out here. */
  hidden: string[];
  cuts: Cut[];
}) {
  return (
    <Panel title={<Heading text="Needs you" count={String(needs.length)} />} flush>
      {needs.length === 0 && pulls.length === 0 ? (
        <Empty title="Nothing needs you">
          Questions of jobs, used-up budgets and blocked work appear here, with what you can do about them.
        </Empty>
      ) : (
        <ul className="divide-y divide-line">
          {needs.map((need) => (
            <NeedRow key={`${need.kind} ${need.id}`} need={need} />
          ))}
          {pulls.length > 0 && <Pulls pulls={pulls} />}
        </ul>
      )}
      {cuts.map(({ shown, all, state }) => (
        <p key={state} className="border-t border-line px-4 py-2 text-xs text-soft">
          Of the {state.toLowerCase()} jobs, the newest {shown} are looked at here.{" "}
          <Link to="/jobs" search={{ state }} className="text-accent underline">
            All {all}
          </Link>
        </p>
      ))}
      {hidden.length > 0 && (
        <p className="border-t border-line px-4 py-2 text-xs text-soft">
          {hidden.length} blocked {hidden.length === 1 ? "job is" : "jobs are"} hidden in this browser.{" "}
          <button type="button" className="min-h-target text-accent underline" onClick={() => showAgain(hidden)}>
            Show {hidden.length === 1 ? "it" : "them"} again
          </button>
          {" · "}
          <Link to="/jobs" search={{ state: "BLOCKED" }} className="text-accent underline">
            All blocked jobs
          </Link>
        </p>
      )}
    </Panel>
  );
}

/** Reviews are asked for elsewhere; these jobs go on by themselves when somebody has acted there. */
function Pulls({ pulls }: { pulls: PullWait[] }) {
  return (
    <Row icon={GitPullRequest} kind="Pull requests that wait for a review or a merge" tone="text-run">
      <ul className="flex flex-col gap-1">
        {pulls.slice(0, 10).map(({ job, url, name }) => (
          <li key={job.job_id} className="flex min-w-0 flex-wrap items-baseline gap-x-3 sm:flex-nowrap">
            <Outside url={url} text={name} className="shrink-0 text-xs" />
            <JobTitle job={job} pulls={false} />
            <Time at={job.created_at} className="ml-auto shrink-0 text-xs text-soft" />
          </li>
        ))}
      </ul>
      {pulls.length > 10 && <p className="text-xs text-soft">and {pulls.length - 10} more</p>}
    </Row>
  );
}

function NeedRow({ need }: { need: Need }) {
  const may = useMay()("operator");
  switch (need.kind) {
    case "approval": {
      const { approval } = need;
      return (
        <Row icon={CircleHelp} kind="Question" at={approval.created_at}>
          <p className="font-medium break-words whitespace-pre-line">
            <bdi>{approval.message ?? `${approval.task} asks for approval.`}</bdi>
          </p>
          <p className="text-xs text-soft">
            asked by {approval.task} of{" "}
            <Link to="/jobs/$id" params={{ id: approval.job_id }} className="text-accent underline">
              {approval.job_type}
            </Link>
          </p>
          <VoteBox approval={approval} />
        </Row>
      );
    }
    case "budget":
      return (
        <Row icon={Wallet} kind="Budget" at={need.at}>
          <JobTitle job={need.job} />
          <p className="break-words">{need.job.reason?.replace(/: `atta resume[^`]*`$/, "")}</p>
          {may ? <BudgetForm job={need.job} /> : <NotYours needed="operator" to="extend the budget" />}
        </Row>
      );
    case "paused":
      return (
        <Row icon={Pause} kind="Paused" at={need.at}>
          <JobTitle job={need.job} />
          <p className="break-words">{need.job.reason ?? "Somebody has paused it."}</p>
          {may ? (
            <div className="flex flex-wrap items-center gap-2">
              <Button onClick={() => void confirmResume(need.job)}>Resume…</Button>
              <span className="text-xs text-soft">It goes on where it stopped.</span>
            </div>
          ) : (
            <NotYours needed="operator" to="resume it" />
          )}
        </Row>
      );
    case "blocked":
      return <Blocked need={need} />;
  }
}

function Blocked({ need: { job, at } }: { need: Extract<Need, { kind: "blocked" | "budget" | "paused" }> }) {
  const detail = useQuery(jobQuery(job.job_id));
  const why = detail.data && whyBlocked(detail.data);
  const may = useMay()("operator");
  return (
    <Row icon={Hand} kind="Blocked" at={at}>
      <JobTitle job={job} />
      {why ? (
        <>
          <p className="break-words">
            <bdi>{why.sentence}</bdi>
          </p>
          {why.questions.length > 0 && (
            <ul className="list-disc pl-5">
              {why.questions.slice(0, 5).map((question) => (
                <li key={question} className="break-words">
                  <bdi>{question}</bdi>
                </li>
              ))}
              {why.questions.length > 5 && <li className="text-soft">and {why.questions.length - 5} more</li>}
            </ul>
          )}
        </>
      ) : (
        <p className="text-soft">{detail.isError ? detail.error.message : (job.reason ?? "…")}</p>
      )}
      <div className="flex flex-wrap items-center gap-2">
        {may && <Button onClick={() => void confirmRetry(job)}>Try again…</Button>}
        <Button
          look="quiet"
          onClick={() => {
            hide(hideKey(job));
            toast.info(
              `${job.job_type} is hidden in this browser until it is blocked again.`,
              "Below what needs you, it can be shown again.",
            );
          }}
        >
          Hide
        </Button>
        {may ? (
          <span className="min-w-0 text-xs text-soft">
            Remove what blocks it first. To go on with other parameters or from another task, open the job.
          </span>
        ) : (
          <NotYours needed="operator" to="let it go on" className="min-w-0 text-xs text-soft" />
        )}
      </div>
    </Row>
  );
}

function Row({
  icon: Icon,
  kind,
  at,
  tone = "text-ask",
  children,
}: {
  icon: typeof Hand;
  kind: string;
  at?: string;
  tone?: string;
  children: React.ReactNode;
}) {
  return (
    <li className="grid grid-cols-[1.25rem_minmax(0,1fr)] gap-x-2 px-4 py-3">
      <Icon aria-hidden size={16} className={`mt-0.5 ${tone}`} />
      <div className="flex min-w-0 flex-col gap-1.5">
        <div className="flex justify-between gap-2 text-xs text-soft">
          <span className={`font-medium ${tone}`}>{kind}</span>
          {at !== undefined && <Time at={at} />}
        </div>
        {children}
      </div>
    </li>
  );
}

export function Heading({ text, count = "0" }: { text: string; count?: string | undefined }) {
  return (
    <span className="flex items-center gap-2">
      {text}
      {count !== "0" && (
        <span className="rounded-full bg-raised px-2 text-xs font-medium text-soft tabular-nums">{count}</span>
      )}
    </span>
  );
}
