import type { Api } from "../api/client";
import { links, pullRequest } from "../ui/inline";

type Job = Api<"JobSummary">;

/** What waits for a person. */
export type Need =
  | { kind: "approval"; id: string; at: string; approval: Api<"ApprovalResource"> }
  | { kind: "blocked" | "budget" | "paused"; id: string; at: string; job: Job };

/** A job that has a pull request open which somebody has to look at. */
export interface PullWait {
  job: Job;
  url: string;
  name: string;
}

/** A job is paused because its budget is used up. The reason begins with that word (docs/budgets.md). */
export const isBudget = (job: Job) => job.state === "PAUSED" && job.reason?.startsWith("BUDGET:") === true;

/** Everything that needs somebody, what has waited longest first within its kind: questions, money, pauses, blocked jobs. */
export function needs(
  approvals: readonly Api<"ApprovalResource">[],
  active: readonly Job[],
  blocked: readonly Job[],
  hidden: ReadonlySet<string>,
): Need[] {
  const oldest = (a: Need, b: Need) => a.at.localeCompare(b.at);
  const paused = active.filter((job) => job.state === "PAUSED");
  return [
    ...approvals
      .filter((each) => each.state === "OPEN")
      .map((approval): Need => ({ kind: "approval", id: approval.approval_id, at: approval.created_at, approval }))
      .sort(oldest),
    ...paused
      .filter(isBudget)
      .map((job): Need => ({ kind: "budget", id: job.job_id, at: job.created_at, job }))
      .sort(oldest),
    ...paused
      .filter((job) => !isBudget(job))
      .map((job): Need => ({ kind: "paused", id: job.job_id, at: job.created_at, job }))
      .sort(oldest),
    // The newest first: what has been blocked for weeks has been seen.
    ...blocked
      .filter((job) => !hidden.has(hideKey(job)))
      .map((job): Need => ({ kind: "blocked", id: job.job_id, at: job.finished_at ?? job.created_at, job })),
  ];
}

/** A job that is retried and blocked again is a new question. */
export const hideKey = (job: Job) => `${job.job_id}/${job.attempt}`;

/** Jobs at work or waiting whose descriptions link to a pull request. */
export function pullsThatWait(active: readonly Job[]): PullWait[] {
  return active.flatMap((job) => {
    if (!job.started_at || (job.state !== "WAITING" && job.state !== "RUNNING")) return [];
    for (const { url } of links(job.description ?? "")) {
      const name = pullRequest(url);
      if (name !== undefined) return [{ job, url, name }];
    }
    return [];
  });
}

/** Why a blocked job stopped, in the words of the task that stopped it, and what it wants to know. */
export function whyBlocked(job: Pick<Api<"JobDetail">, "reason" | "tasks">): { sentence: string; questions: string[] } {
  const task =
    job.tasks.find((each) => each.route === "END_BLOCKED") ?? job.tasks.find((each) => each.state === "FAILED");
  if (task === undefined) return { sentence: job.reason ?? "It ended as BLOCKED, and says no more.", questions: [] };
  const verdict = record(task.outputs.verdict);
  const told =
    text(verdict?.summary) ??
    text(verdict?.reason) ??
    (task.error && task.error.code !== "EXIT_CODE" ? task.error.message : undefined);
  const fact = task.exit_code == null ? "ended" : `ended with exit code ${task.exit_code}`;
  const questions = Array.isArray(verdict?.questions)
    ? verdict.questions.filter((each) => typeof each === "string")
    : [];
  return {
    sentence: told === undefined ? `${task.task_type} ${fact}, which blocks the job.` : `${task.task_type}: ${told}`,
    questions,
  };
}

const text = (value: unknown) => (typeof value === "string" && value.trim() !== "" ? value : undefined);
const record = (value: unknown) =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;

/** What a vote does, before it is given. */
export function consequences(approval: Api<"ApprovalResource">): { approve: string; reject: string } {
  const given = approval.votes.filter((vote) => vote.decision === "approve").length;
  const wanted = approval.unanimous ? approval.users.length : approval.min_approvals;
  const left = wanted - given - 1;
  return {
    approve:
      left > 0
        ? `Approve: vote ${given + 1} of ${wanted}; ${left} more ${left === 1 ? "is" : "are"} needed.`
        : "Approve: this decides it, and the job goes on at once.",
    reject: "Reject: one rejection decides it. The job follows its REJECTED route, or fails with your comment.",
  };
}

/** What happens if nobody votes. */
export function atDeadline(action: string | null | undefined): string {
  if (action === "approve") return "then it counts as approved";
  if (action === "escalate") return "then it times out, and everybody is told again";
  return "then it counts as rejected";
}

/** A job that has not begun: what it waits for. */
export function queueReason(job: Job): string | undefined {
  if (job.reason) return job.reason;
  if (job.state === "RUNNING" && !job.started_at) return "is about to start";
  if (job.state === "PENDING" && job.scheduled_at) return "waits for its time";
  return undefined;
}

/** Running, waiting, and what has not begun. */
export function split(active: readonly Job[]): { running: Job[]; waiting: Job[]; queued: Job[] } {
  const running: Job[] = [];
  const waiting: Job[] = [];
  const queued: Job[] = [];
  for (const job of active) {
    if (job.state === "WAITING") waiting.push(job);
    else if (job.state === "PENDING" || (job.state === "RUNNING" && !job.started_at)) queued.push(job);
    else if (job.state !== "PAUSED") running.push(job);
  }
  // What is next comes first.
  return { running, waiting, queued: queued.reverse() };
}

/** An amount that lets a job with a used-up budget go on: half as much again as it was or is, in round numbers. */
export function suggested(limit: number, used: number): number {
  const aim = Math.max(limit, used) * 1.5;
  const step = 10 ** Math.floor(Math.log10(Math.max(aim, 0.01)) - 1);
  return Number((Math.ceil(aim / step) * step).toFixed(4));
}
