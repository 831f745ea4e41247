import { Link } from "@tanstack/react-router";
import type { Api } from "../../api/client";
import { cn } from "../../ui/cn";
import { links, plain, pullRequest } from "../../ui/inline";
import { Outside } from "../../ui/outside";
import { StateBadge } from "../../ui/state";

/** A job in one line: what it is, what it is about, and something at its end. */
export function JobRow({
  job,
  badge = false,
  note,
  children,
}: {
  job: Api<"JobSummary">;
  badge?: boolean;
  /** A second line: why it waits or failed. */
  note?: string | undefined;
  children?: React.ReactNode;
}) {
  return (
    <li className={cn("flex items-start gap-x-3 gap-y-1 px-4 py-2", badge && "max-sm:flex-wrap")}>
      {badge && (
        <span className="flex w-24 shrink-0 pt-px max-sm:w-auto">
          <StateBadge state={job.state} />
        </span>
      )}
      <div className={cn("min-w-0 flex-1", badge && "max-sm:order-last max-sm:basis-full")}>
        <JobTitle job={job} />
        {note && <p className="text-xs break-words text-soft">{note}</p>}
      </div>
      <div className="ml-auto flex shrink-0 items-center gap-3 pt-px text-right text-xs whitespace-nowrap text-soft tabular-nums">
        {children}
      </div>
    </li>
  );
}

/** The link to a job, with its description, and links to its pull requests. */
export function JobTitle({ job, pulls = true }: { job: Api<"JobSummary">; pulls?: boolean }) {
  const description = plain(job.description ?? "");
  return (
    <div className="flex min-w-0 flex-wrap items-baseline gap-x-2 sm:flex-nowrap">
      <Link
        to="/jobs/$id"
        params={{ id: job.job_id }}
        className="flex min-w-0 flex-wrap items-baseline gap-x-2 break-words hover:underline sm:flex-nowrap"
      >
        <span className="min-w-0 font-medium sm:shrink-0">{job.job_type}</span>
        {description && (
          <span className="min-w-0 text-soft max-sm:line-clamp-2 max-sm:break-words sm:truncate" title={description}>
            <bdi>{description}</bdi>
          </span>
        )}
      </Link>
      {pulls && <PullLinks text={job.description ?? ""} />}
    </div>
  );
}

/** The pull requests that a text links to. */
export function PullLinks({ text }: { text: string }) {
  const pulls = links(text).flatMap(({ url }) => {
    const name = pullRequest(url);
    return name === undefined ? [] : [{ url, name }];
  });
  return pulls
    .slice(0, 2)
    .map(({ url, name }) => <Outside key={url} url={url} text={name} className="shrink-0 text-xs" />);
}
