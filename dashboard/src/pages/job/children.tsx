import { Link } from "@tanstack/react-router";
import { childCount, type Job } from "./job";

/** The way to all jobs that a job has made: of many only the oldest stand with it. */
export function AllChildren({ job }: { job: Job }) {
  const count = childCount(job);
  return (
    <Link
      to="/jobs"
      search={{ parent: job.job_id }}
      className="inline-flex min-h-target items-center text-accent underline underline-offset-2"
    >
      All {count.toLocaleString("en")} jobs
    </Link>
  );
}
