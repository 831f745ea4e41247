import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect } from "react";
import { count, money, useTitle } from "../../ui/kit";
import { Markdown } from "../../ui/markdown";
import { lookOf, StateBadge } from "../../ui/state";
import { setPageIcon } from "../../ui/tab";
import { Time, Took } from "../../ui/time";
import { Fact, Facts } from "./facts";
import { firstTold, isOver, type Job } from "./job";
import { commandQuery } from "./requests";

/** What the job is, in its own words, and the figures that everybody asks for. */
export function Header({ job, semver }: { job: Job; semver: string | undefined }) {
  const name = job.description?.trim() || job.job_type;
  const plain =
    name
      .split("\n")[0]
      ?.replace(/[*`[\]]|^#+ /g, "")
      .slice(0, 80) ?? job.job_type;
  useTitle(`${lookOf(job.state).word}: ${plain}`);
  useFavicon(job.state);
  return (
    <header className="mb-4">
      <nav aria-label="Where this is" className="mb-1 flex flex-wrap items-center gap-x-1.5 text-xs text-soft">
        <Link to="/jobs" className="inline-flex min-h-target items-center hover:underline">
          Jobs
        </Link>
        <span aria-hidden>/</span>
        <Link
          to="/definitions/$type"
          params={{ type: job.job_type }}
          className="inline-flex min-h-target items-center break-all hover:underline"
        >
          {job.job_type}
        </Link>
        <span aria-hidden>/</span>
        <code className="break-all">{job.job_id}</code>
      </nav>
      <div className="flex flex-wrap items-start gap-x-3 gap-y-1">
        <h1 className="sr-only">{plain}</h1>
        <div className="min-w-0 flex-1 basis-72 text-lg font-semibold">
          <Markdown text={name} />
        </div>
        <StateBadge state={job.state} />
      </div>
      <div className="mt-3">
        <Facts>
          <Fact name="Definition">
            <Link
              to="/definitions/$type"
              params={{ type: job.job_type }}
              className="text-accent underline underline-offset-2"
            >
              {job.job_type}
            </Link>{" "}
            <span className="text-soft" title={job.version}>
              {semver ?? job.version.slice(0, 8)}
            </span>
          </Fact>
          <Branch job={job} />
          <Fact name="Submitted">
            <Time at={job.created_at} /> <span className="text-soft">by</span> <Submitter job={job} />
          </Fact>
          {job.scheduled_at && !job.started_at && (
            <Fact name="Starts">
              <Time at={job.scheduled_at} />
            </Fact>
          )}
          {job.started_at && (
            <Fact name={isOver(job.state) ? "Took" : "Runs for"}>
              <Took from={job.started_at} until={job.finished_at} />
            </Fact>
          )}
          {job.finished_at && (
            <Fact name="Ended">
              <Time at={job.finished_at} />
            </Fact>
          )}
          {job.attempt > 1 && <Fact name="Attempt">{job.attempt}</Fact>}
          {job.agents && <Cost job={job} />}
          {job.priority !== "NORMAL" && <Fact name="Priority">{job.priority.toLowerCase()}</Fact>}
        </Facts>
      </div>
    </header>
  );
}

function Submitter({ job }: { job: Job }) {
  const { parent, submitted_by: who } = job;
  if (!parent) return <span className="break-all">{who}</span>;
  return (
    <Link to="/jobs/$id" params={{ id: parent.job_id }} className="text-accent underline underline-offset-2">
      another job
    </Link>
  );
}

/** The branch that its tasks work on. No resource of the job has it, but what ants are told has. */
function Branch({ job }: { job: Job }) {
  const number = firstTold(job);
  const { data: command } = useQuery({
    ...commandQuery(job.job_id, number ?? 0),
    enabled: number !== undefined,
    // With many attempts the first that is known of them becomes another one, and the branch is the same.
    placeholderData: keepPreviousData,
  });
  if (typeof command !== "object" || command.workspace?.branch == null) return null;
  return (
    <Fact name="Branch">
      <code className="text-xs break-all">{command.workspace.branch}</code>
    </Fact>
  );
}

function Cost({ job }: { job: Job }) {
  const { agents, budget } = job;
  if (!agents) return null;
  const limit = budget?.limits.usd;
  return (
    <>
      <Fact name="Agents cost">
        <strong className="font-semibold">
          {agents.cost_unknown > 0 && "at least "}
          {money(agents.cost_usd)}
        </strong>
        {limit != null && <span className="text-soft"> of {money(limit)}</span>}
        {agents.cost_unknown > 0 && (
          <span className="text-soft" title="Their programs did not say what they cost">
            {" "}
            ({agents.cost_unknown} unknown)
          </span>
        )}
      </Fact>
      <Fact name="Turns">
        {count(agents.turns)}{" "}
        <span className="text-soft">
          in {agents.attempts} {agents.attempts === 1 ? "session" : "sessions"}
        </span>
      </Fact>
      <Fact name="Tokens">
        {count((agents.tokens.input ?? 0) + (agents.tokens.cache_write ?? 0))} in · {count(agents.tokens.output)} out
      </Fact>
    </>
  );
}

const dots = { ok: "--ok", bad: "--bad", run: "--run", ask: "--ask", idle: "--idle" };

/** The state in the tab's icon: a dot in its colour. */
function useFavicon(state: Job["state"]) {
  const { tone } = lookOf(state);
  useEffect(() => {
    const colour = getComputedStyle(document.documentElement).getPropertyValue(dots[tone]).trim();
    const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${colour}"/></svg>`;
    setPageIcon(`data:image/svg+xml,${encodeURIComponent(picture)}`);
    return () => setPageIcon();
  }, [tone]);
}
