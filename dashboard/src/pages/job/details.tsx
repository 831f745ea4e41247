import { Link } from "@tanstack/react-router";
import { usePaged } from "../../api/paged";
import { limited } from "../../app/budget";
import { Facts, ShowMore } from "../../ui/field";
import { Empty, Loaded } from "../../ui/kit";
import { StateBadge } from "../../ui/state";
import { Time } from "../../ui/time";
import { asText } from "./allowed";
import { AllChildren } from "./children";
import { childCount, type Job } from "./job";
import { fetchEvents } from "./requests";

/** What else is known: params, related jobs, budget, history. */
export function Details({ job }: { job: Job }) {
  const params = Object.entries(job.params);
  const related: { id: string; how: string; state?: Job["state"] }[] = [];
  if (job.parent)
    related.push({
      id: job.parent.job_id,
      how: `${job.parent.relation} this one${job.parent.task ? `, by its task ${job.parent.task}` : ""}`,
    });
  if (job.rerun_of) related.push({ id: job.rerun_of, how: "is run again by this one" });
  for (const id of job.reruns ?? []) related.push({ id, how: "runs this one again" });
  for (const child of job.children ?? [])
    related.push({
      id: child.job_id,
      how: `${child.job_type}, ${child.relation}${child.task ? ` by ${child.task}` : ""}`,
      state: child.state,
    });
  return (
    <div className="flex flex-col gap-5 p-4">
      <section>
        <h3 className="mb-1 font-semibold">Parameters</h3>
        {params.length === 0 ? (
          <p className="text-soft">It takes none.</p>
        ) : (
          <dl className="grid grid-cols-[minmax(6rem,12rem)_1fr] gap-x-3 gap-y-1">
            {params.map(([name, value]) => (
              <div key={name} className="contents">
                <dt className="truncate text-soft" title={name}>
                  {name}
                </dt>
                <dd className="min-w-0 font-mono text-xs break-all whitespace-pre-wrap">
                  {value === "" ? <span className="font-sans text-soft">empty</span> : asText(value)}
                </dd>
              </div>
            ))}
          </dl>
        )}
      </section>
      <section>
        <h3 className="mb-1 font-semibold">Related jobs</h3>
        {related.length === 0 ? (
          <p className="text-soft">None: it came from no job, and made none.</p>
        ) : (
          <ul className="flex flex-col gap-1">
            {related.map(({ id, how, state }) => (
              <li key={`${id} ${how}`} className="flex flex-wrap items-center gap-x-2">
                <Link
                  to="/jobs/$id"
                  params={{ id }}
                  className="inline-flex min-h-target items-center text-accent underline underline-offset-2"
                >
                  <code className="text-xs break-all">{id}</code>
                </Link>
                <span className="text-soft">{how}</span>
                {state && <StateBadge state={state} />}
              </li>
            ))}
          </ul>
        )}
        {childCount(job) > (job.children ?? []).length && <AllChildren job={job} />}
      </section>
      {job.budget && (
        <section>
          <h3 className="mb-1 font-semibold">Budget</h3>
          <Facts
            rows={[
              ...limited(job.budget).map(
                ({ label, used, limit, show }) => [label, `${show(used)} of ${show(limit)} used`] as const,
              ),
              ["Agents at work", job.budget.open > 0 ? String(job.budget.open) : ""],
              ["Counted as reserved", job.budget.assumed > 0 ? `${job.budget.assumed} attempts` : ""],
            ]}
          />
        </section>
      )}
      <section>
        <h3 className="mb-1 font-semibold">Identity</h3>
        <Facts
          rows={[
            ["Version", <Code key="version" text={job.version} />],
            ["User key", job.user_key ?? "–"],
            ["Nonce", <Code key="nonce" text={job.nonce ?? "–"} />],
            ["Priority", job.priority.toLowerCase()],
            ["Submitted by", job.submitted_by],
          ]}
        />
      </section>
      <History jobId={job.job_id} />
    </div>
  );
}

const Code = ({ text }: { text: string }) => <code className="text-xs break-all">{text}</code>;

function History({ jobId }: { jobId: string }) {
  const events = usePaged(["job", jobId, "events"], (cursor) => fetchEvents(jobId, cursor));
  return (
    <section className="min-w-0">
      <h3 className="mb-1 font-semibold">History</h3>
      <Loaded query={events}>
        {(items) =>
          items.length === 0 ? (
            <Empty title="Nothing has happened yet" />
          ) : (
            <ol
              // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
              tabIndex={0}
              aria-label="History"
              className="max-h-96 overflow-auto rounded-md border border-line text-xs"
            >
              {items.map((event, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: several events have one sequence, and a row keeps nothing
                <li key={index} className="flex gap-2 px-2 py-0.5 even:bg-raised">
                  <Time at={event.at} className="w-20 shrink-0 text-soft" />
                  <span className="w-36 shrink-0 truncate">{event.kind.replaceAll("_", " ")}</span>
                  <code className="min-w-0 truncate text-soft" title={JSON.stringify(event.data)}>
                    {JSON.stringify(event.data)}
                  </code>
                </li>
              ))}
            </ol>
          )
        }
      </Loaded>
      {events.data !== undefined && <ShowMore query={events} />}
    </section>
  );
}
