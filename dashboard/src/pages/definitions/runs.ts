import type { Api } from "../../api/client";

/** What the latest jobs say about a definition. */
export interface Runs {
  /** Newest first. */
  jobs: Api<"JobSummary">[];
  /** Of those that ended by themselves, how many completed; undefined when none has. */
  success: number | undefined;
}

const good = new Set(["COMPLETED", "SKIPPED"]);
const bad = new Set(["FAILED", "BLOCKED"]);

/** Sorts jobs, newest first, by their definitions. Cancelled jobs and jobs that go on say nothing about success. */
export function byDefinition(jobs: readonly Api<"JobSummary">[]): Map<string, Runs> {
  const found = new Map<string, Runs>();
  for (const job of jobs) {
    const runs = found.get(job.job_type) ?? { jobs: [], success: undefined };
    runs.jobs.push(job);
    found.set(job.job_type, runs);
  }
  for (const runs of found.values()) runs.success = successOf(runs.jobs);
  return found;
}

export function successOf(jobs: readonly Api<"JobSummary">[]): number | undefined {
  const completed = jobs.filter((job) => good.has(job.state)).length;
  const ended = completed + jobs.filter((job) => bad.has(job.state)).length;
  return ended === 0 ? undefined : completed / ended;
}
