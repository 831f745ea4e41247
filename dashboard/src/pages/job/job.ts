import type { Api } from "../../api/client";
import { fromHash } from "../../log/place";

export { isOver } from "../../app/states";

export type Task = Api<"TaskResource">;
export type Job = Api<"JobDetail">;
export type Attempt = Api<"AttemptResource">;
export type Agent = Api<"AgentResource">;

/** What of the page stands in its address, so that each view can be shared. */
export interface JobSearch {
  /** The selected task. */
  task?: string;
  /** The number of the selected attempt; without it the task's latest. */
  attempt?: number;
  /** The number of the attempt that it is compared with. */
  compare?: number;
  /** What the left part shows. */
  view?: View;
  /** What is shown of the attempt. */
  tab?: Tab;
  /** A file of the attempt. */
  file?: string;
}

export const views = ["graph", "timeline", "tasks", "changes", "details"] as const;
export type View = (typeof views)[number];
export const tabs = ["log", "agent", "diff", "files", "outputs", "command", "definition", "items"] as const;
export type Tab = (typeof tabs)[number];

/** Reads the address; what makes no sense is left out. */
export function readSearch(raw: Record<string, unknown>): JobSearch {
  const search: JobSearch = {};
  const number = (value: unknown) =>
    Number.isSafeInteger(Number(value)) && Number(value) > 0 ? Number(value) : undefined;
  if (raw.task !== undefined && raw.task !== "") search.task = String(raw.task);
  const attempt = number(raw.attempt);
  if (attempt !== undefined) search.attempt = attempt;
  const compare = number(raw.compare);
  if (compare !== undefined) search.compare = compare;
  const view = views.find((each) => each === raw.view);
  if (view) search.view = view;
  const tab = tabs.find((each) => each === raw.tab);
  if (tab) search.tab = tab;
  if (typeof raw.file === "string" && raw.file !== "") search.file = raw.file;
  return search;
}

const running = new Set<Task["state"]>(["READY", "LEASED", "RUNNING", "WAITING"]);
export const isOpen = (task: Task) => running.has(task.state);

/** All attempts that came with the job, in the order in which they were made. */
export function attemptsOf(job: Job): { task: Task; attempt: Attempt }[] {
  const all = job.tasks.flatMap((task) => (task.attempt_list ?? []).map((attempt) => ({ task, attempt })));
  return all.sort((a, b) => a.attempt.number - b.attempt.number);
}

/** What a task waits for, in the server's words, which have no subject: "waits for an ant: none is connected". */
export function waitsFor(task: Task): string | undefined {
  if (task.state !== "READY" && task.state !== "WAITING") return undefined;
  const attempts = task.attempt_list ?? [];
  return (attempts.findLast((each) => each.state === task.state) ?? attempts.at(-1))?.reason ?? undefined;
}

/** How many jobs it has made: of many only the oldest come with it. */
export function childCount(job: Job): number {
  const children = job.children ?? [];
  const apart = children.filter((child) => child.task == null).length;
  const made = job.tasks.reduce((sum, task) => sum + (task.forked?.total ?? 0), apart);
  return Math.max(children.length, made);
}

/** All attempts that are known, the oldest first; what comes with the job is the newest that is known of one. */
export function merged(listed: readonly Attempt[], fetched: readonly Attempt[]): Attempt[] {
  const known = new Map([...fetched, ...listed].map((each) => [each.number, each]));
  return [...known.values()].sort((a, b) => a.number - b.number);
}

/** The first attempt that an ant had, of the latest job attempt in which one had any: what it was told says where it works. */
export function firstTold(job: Job): number | undefined {
  const had = attemptsOf(job).filter(({ attempt }) => attempt.ant != null);
  const latest = had.at(-1)?.attempt.job_attempt;
  return had.find(({ attempt }) => attempt.job_attempt === latest)?.attempt.number;
}

/** What an address shows that names lines of a log, and not the attempt: the numbers of attempts are unique in a job. */
export function withLines(search: JobSearch, hash: string, job: Job): JobSearch {
  const lines = fromHash(hash);
  if (lines === undefined || search.attempt !== undefined) return search;
  const found = attemptsOf(job).find(({ attempt }) => attempt.number === lines.attempt)?.task.task_type;
  // An attempt that did not come with the job is one of the task that the address names.
  const task = search.task ?? found;
  if (task === undefined || (found !== undefined && found !== task)) return search;
  return { ...search, task, attempt: lines.attempt, tab: search.tab ?? "log" };
}

/** Whether it runs, or ran, in a terminal. */
export const hasTerminal = (attempt: Attempt) => attempt.tty === true;

/** Which attempt it is, in words: nothing for the only one. */
export function attemptName(attempt: Attempt): string {
  const parts: string[] = [];
  if (attempt.item_key != null) parts.push(`item ${attempt.item_key}`);
  if (attempt.job_attempt > 1) parts.push(`job attempt ${attempt.job_attempt}`);
  if (attempt.visit > 1) parts.push(`visit ${attempt.visit}`);
  if (attempt.task_attempt > 1) parts.push(`try ${attempt.task_attempt}`);
  return parts.join(", ");
}

/** How an ended attempt ended, in a word. */
export function resultWord(attempt: Attempt): string {
  const { result, exit_code: code } = attempt;
  if (result == null) return attempt.state === "FINISHED" ? "ended" : "";
  if ((result === "FAILED" || result === "COMPLETED") && code != null && code !== 0) return `exit code ${code}`;
  return result;
}

/** What changes of the address; undefined leaves it out. */
export type SearchChange = { [Name in keyof JobSearch]?: JobSearch[Name] | undefined };
