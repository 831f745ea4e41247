import { Link } from "@tanstack/react-router";
import { memo } from "react";
import type { Api } from "../../api/client";
import { cn } from "../../ui/cn";
import { plain } from "../../ui/inline";
import { StateBadge } from "../../ui/state";
import { Time, Took } from "../../ui/time";
import { PullLinks } from "../now/rows";

/** The columns of the list, on wide screens. */
export const columns = (selecting: boolean) =>
  cn(
    "md:grid md:items-center",
    selecting
      ? "md:grid-cols-[2.5rem_7.5rem_minmax(0,1fr)_7rem_6.5rem_6rem]"
      : "md:grid-cols-[7.5rem_minmax(0,1fr)_7rem_6.5rem_6rem] md:py-2 md:pl-4",
  );

/** One job of the list. */
export const Row = memo(function Row({
  job,
  selected,
  current,
  onSelect,
  onFocus,
}: {
  job: Api<"JobSummary">;
  selected: boolean;
  current: boolean;
  /** Nothing for those who can do nothing with what they select. */
  onSelect: ((id: string, range: boolean) => void) | undefined;
  onFocus: (id: string) => void;
}) {
  const description = plain(job.description ?? "");
  const labels = Object.entries(job.labels ?? {}).map(([name, value]) => (value === "" ? name : `${name}:${value}`));
  const note = job.state === "COMPLETED" ? undefined : (job.reason ?? job.error_code);
  return (
    <div
      className={cn(
        "relative flex flex-wrap items-start gap-x-2 gap-y-1 border-b border-line px-3 py-2 md:flex-nowrap md:gap-0 md:px-0",
        columns(onSelect !== undefined),
        selected ? "bg-accent-soft" : current ? "bg-raised" : "hover:bg-raised",
      )}
    >
      {onSelect && (
        <label className="flex size-7 items-center justify-center md:mx-auto">
          <span className="sr-only">
            Select {job.job_type} {job.job_id}
          </span>
          <input
            type="checkbox"
            className="size-4 accent-(--accent)"
            checked={selected}
            onFocus={() => onFocus(job.job_id)}
            onClick={(event) => onSelect(job.job_id, event.shiftKey)}
            onChange={() => undefined}
          />
        </label>
      )}
      <span className="flex pt-0.5 md:pt-0">
        <StateBadge state={job.state} />
      </span>
      <div className="order-last min-w-0 basis-full md:order-none md:basis-auto md:pr-3">
        <div className="flex min-w-0 items-baseline gap-2">
          <Link
            to="/jobs/$id"
            params={{ id: job.job_id }}
            data-job={job.job_id}
            className="max-w-full min-w-0 shrink-0 truncate leading-[24px] font-medium hover:underline"
            onFocus={() => onFocus(job.job_id)}
          >
            {job.job_type}
          </Link>
          <span className="min-w-0 truncate text-soft" title={description}>
            <bdi>{description}</bdi>
          </span>
          <PullLinks text={job.description ?? ""} />
        </div>
        {labels.length > 0 && (
          <ul aria-label="Labels" className="mt-1 flex flex-wrap gap-1">
            {labels.slice(0, 4).map((label) => (
              <li key={label} className="min-w-0">
                <Link
                  to="/jobs"
                  search={{ label }}
                  title={`Jobs with the label ${label}`}
                  className="inline-flex min-h-target max-w-60 items-center rounded bg-raised px-1.5 text-xs text-soft hover:text-text hover:underline"
                >
                  <bdi className="truncate">{label}</bdi>
                </Link>
              </li>
            ))}
            {labels.length > 4 && <li className="text-xs text-soft">and {labels.length - 4} more</li>}
          </ul>
        )}
        {note && (
          <p className={cn("truncate text-xs", job.state === "FAILED" ? "text-bad" : "text-soft")} title={note}>
            <bdi>{note}</bdi>
          </p>
        )}
      </div>
      <span className="hidden min-w-0 truncate text-xs text-soft md:block" title={job.submitted_by}>
        {job.submitted_by}
      </span>
      <span className="ml-auto pt-1 text-xs whitespace-nowrap text-soft md:ml-0 md:pt-0">
        <Time at={job.created_at} />
      </span>
      <span className="hidden pr-4 text-right text-xs whitespace-nowrap text-soft tabular-nums md:block">
        {job.started_at ? <Took from={job.started_at} until={job.finished_at} /> : "–"}
      </span>
    </div>
  );
});
