import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { useHidden } from "../../app/hidden";
import { hideKey, needs, pullsThatWait, queueReason, split } from "../../app/inbox";
import {
  activeJobs,
  ants,
  blockedJobs,
  budgets,
  counted,
  definitions,
  endedJobs,
  jobCounts,
  openApprovals,
} from "../../app/overview";
import { useNeedCount } from "../../app/watcher";
import { cn } from "../../ui/cn";
import { Commands } from "../../ui/copy";
import { Busy, Empty, ErrorBox, money, OutOfDate, PageHeader, Panel } from "../../ui/kit";
import { Time, Took } from "../../ui/time";
import { FirstStart } from "./first-start";
import { type Cut, Heading, NeedsYou } from "./needs";
import { JobRow } from "./rows";
import { AntsPanel, DegradationNote, SpendPanel } from "./side";

/** So many rows of a section are shown; the rest is a link away. */
const shown = 12;

export function NowPage() {
  const known = useQuery(definitions);
  const active = useQuery(activeJobs);
  const blocked = useQuery(blockedJobs);
  const approvals = useQuery(openApprovals);
  const ended = useQuery(endedJobs);
  const counts = useQuery(jobCounts);
  const needed = useNeedCount() ?? 0;
  const load = useQuery(ants);
  const spend = useQuery(budgets);
  const hidden = useHidden();

  const jobs = active.data?.items ?? [];
  const { running, waiting, queued } = split(jobs);
  const failed = [known, active, blocked, approvals, ended].find((query) => query.isError && query.data === undefined);

  if (failed) {
    return (
      <>
        <PageHeader title="Now" />
        <ErrorBox error={failed.error} retry={() => void failed.refetch()} />
      </>
    );
  }
  if (!active.data || !blocked.data || !approvals.data || !ended.data || !known.data) {
    return (
      <>
        <PageHeader title="Now" />
        <Busy />
      </>
    );
  }

  // Ants and spend say it in their own places.
  const old = [known, active, blocked, approvals, ended, counts].filter((query) => query.isError);
  const first = known.data.length === 0 && jobs.length === 0 && ended.data.items.length === 0;
  const wanted = needs(approvals.data.items, jobs, blocked.data.items, hidden);
  const pulls = pullsThatWait(jobs);
  const away = blocked.data.items.map(hideKey).filter((each) => hidden.has(each));
  const slots = (load.data ?? []).reduce(
    (sum, ant) => (ant.state === "LIVE" ? { used: sum.used + ant.used, all: sum.all + ant.slots } : sum),
    { used: 0, all: 0 },
  );
  const day = spend.data?.budgets.find((each) => each.scope === "day");
  // Of more jobs than are looked at, the server knows how many there are.
  const { cut } = active.data;
  const many = (known: readonly unknown[], ...states: Api<"JobState">[]) => {
    if (!states.some((state) => cut.includes(state))) return String(known.length);
    return counts.data === undefined ? `${known.length}+` : counted(counts.data, ...states);
  };
  const cuts: Cut[] = [];
  if (cut.includes("PAUSED")) {
    const paused = jobs.filter((job) => job.state === "PAUSED");
    cuts.push({ shown: paused.length, all: many(paused, "PAUSED"), state: "PAUSED" });
  }
  if (blocked.data.next_cursor != null) {
    const { length } = blocked.data.items;
    const all = counts.data === undefined ? `${length}+` : counted(counts.data, "BLOCKED");
    cuts.push({ shown: length, all, state: "BLOCKED" });
  }

  return (
    <>
      <PageHeader title="Now" />
      {old[0] && (
        <OutOfDate
          error={old[0].error}
          retry={() => {
            for (const query of old) void query.refetch();
          }}
        />
      )}
      <DegradationNote />
      {first ? (
        <div className="flex flex-col gap-4">
          <FirstStart />
          <div className="grid gap-4 md:grid-cols-2">
            <AntsPanel />
            <SpendPanel />
          </div>
        </div>
      ) : (
        <>
          <Figures
            items={[
              { label: "Need you", value: String(needed), tone: needed > 0 ? "text-ask" : "" },
              {
                label: "Running",
                value: many(running, "RUNNING", "CANCELLING"),
                tone: running.length > 0 ? "text-run" : "",
              },
              { label: "Waiting", value: many(waiting, "WAITING") },
              { label: "In the queue", value: many(queued, "PENDING") },
              { label: "Slots busy", value: load.data ? `${slots.used} of ${slots.all}` : "–" },
              { label: "Spent today", value: money(day?.used.usd) },
            ]}
          />
          <div className="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_20rem]">
            <div className="flex min-w-0 flex-col gap-4">
              <NeedsYou needs={wanted} pulls={pulls} hidden={away} cuts={cuts} />
              <Section
                title="Running"
                jobs={running}
                many={many(running, "RUNNING", "CANCELLING")}
                search={{ state: "RUNNING,CANCELLING" }}
                end={<Nothing />}
              >
                {(job) => (
                  <JobRow
                    key={job.job_id}
                    job={job}
                    badge
                    // Why it is cancelled, or what its work that is ready waits for.
                    note={job.reason ?? undefined}
                  >
                    {job.started_at && <Took from={job.started_at} />}
                  </JobRow>
                )}
              </Section>
              {queued.length > 0 && (
                <Section
                  title="Queue"
                  jobs={queued}
                  many={many(queued, "PENDING")}
                  search={{ state: "PENDING,RUNNING" }}
                >
                  {(job) => (
                    <JobRow key={job.job_id} job={job} note={queueReason(job)}>
                      {job.priority !== "NORMAL" && <span>{job.priority.toLowerCase()} priority</span>}
                      {job.scheduled_at && new Date(job.scheduled_at) > new Date() ? (
                        <Time at={job.scheduled_at} />
                      ) : (
                        <Took from={job.created_at} />
                      )}
                    </JobRow>
                  )}
                </Section>
              )}
              {waiting.length > 0 && (
                <Section title="Waiting" jobs={waiting} many={many(waiting, "WAITING")} search={{ state: "WAITING" }}>
                  {(job) => (
                    <JobRow key={job.job_id} job={job} note={job.reason ?? undefined}>
                      <Took from={job.started_at ?? job.created_at} />
                    </JobRow>
                  )}
                </Section>
              )}
              <Section
                title="Recently finished"
                jobs={ended.data.items}
                search={{ state: "COMPLETED,FAILED,BLOCKED,CANCELLED" }}
                end={<Empty title="Nothing has ended yet">Jobs that have ended appear here.</Empty>}
              >
                {(job) => (
                  <JobRow key={job.job_id} job={job} badge note={job.state === "FAILED" ? why(job) : undefined}>
                    {job.started_at && job.finished_at && <Took from={job.started_at} until={job.finished_at} />}
                    {job.finished_at && <Time at={job.finished_at} className="w-28 max-sm:w-auto" />}
                  </JobRow>
                )}
              </Section>
            </div>
            <div className="flex min-w-0 flex-col gap-4 max-xl:grid max-xl:grid-cols-1 md:max-xl:grid-cols-2 md:max-xl:items-start">
              <AntsPanel />
              <SpendPanel />
            </div>
          </div>
        </>
      )}
    </>
  );
}

const why = (job: Api<"JobSummary">) => job.reason ?? job.error_code ?? undefined;

function Figures({ items }: { items: { label: string; value: string; tone?: string }[] }) {
  return (
    <dl className="mb-4 grid grid-cols-3 overflow-hidden rounded-lg border border-line bg-panel lg:grid-cols-6">
      {items.map(({ label, value, tone }) => (
        <div key={label} className="-mr-px -mb-px flex flex-col-reverse border-r border-b border-line px-4 py-2.5">
          <dt className="text-xs text-soft">{label}</dt>
          <dd className={cn("text-lg leading-tight font-semibold whitespace-nowrap tabular-nums", tone)}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Section({
  title,
  jobs,
  many,
  search,
  end,
  children,
}: {
  title: string;
  jobs: Api<"JobSummary">[];
  /** How many there are, also of those that are not looked at; absent for a section that is always a part of all. */
  many?: string;
  search: { state: string };
  end?: React.ReactNode;
  children: (job: Api<"JobSummary">) => React.ReactNode;
}) {
  return (
    <Panel
      title={<Heading text={title} count={many} />}
      flush
      actions={
        (many === undefined || jobs.length > shown) && (
          <Link to="/jobs" search={search} className="text-xs text-accent hover:underline">
            All {many ?? "of them"}
          </Link>
        )
      }
    >
      {jobs.length === 0 ? end : <ul className="divide-y divide-line">{jobs.slice(0, shown).map(children)}</ul>}
    </Panel>
  );
}

function Nothing() {
  return (
    <div className="px-4 py-6 text-center">
      <p className="font-medium">Nothing runs</p>
      <p className="mt-1 mb-3 text-soft">
        Start a job on the page of its{" "}
        <Link to="/definitions" className="text-accent underline">
          definition
        </Link>
        , or in a terminal:
      </p>
      <div className="mx-auto max-w-sm text-left">
        <Commands text="atta submit JOB_TYPE --follow" />
      </div>
    </div>
  );
}
