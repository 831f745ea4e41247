import { targetsOf } from "../../graph/ends";
import type { Tone } from "../../ui/state";
import { attemptsOf, type Job, type Task, waitsFor } from "./job";

/** Why a job is in its state, for somebody who sees it for the first time. */
export interface Explanation {
  tone: Tone;
  heading: string;
  sentence: string;
  /** The stable code, for those who look for it. */
  code?: string | undefined;
  /** The task at which one should look. */
  task?: string | undefined;
  attempt?: number | undefined;
  /** What an agent wants to know, in its words. */
  questions: string[];
}

/** Says why the job is as it is. */
export function explain(job: Job): Explanation {
  switch (job.state) {
    case "BLOCKED":
      return at(blocking(job), {
        tone: "ask",
        heading: "It stopped and needs a person",
        sentence: job.reason ?? "A path of it ended with END_BLOCKED.",
        code: job.error?.code,
      });
    case "FAILED": {
      const task = failing(job);
      const own = { tone: "bad" as const, heading: "It failed", code: job.error?.code };
      const sentence = job.error?.message ?? job.reason ?? "A task failed, and no route leads on.";
      return task ? at(task, { ...own, sentence }) : { ...own, sentence, questions: [] };
    }
    case "PAUSED":
      return at(pausing(job), {
        tone: "ask",
        heading: "It is paused until somebody resumes it",
        sentence: job.reason ?? "Somebody paused it. What ran has ended or ends; nothing new starts.",
      });
    case "WAITING":
      return at(
        job.tasks.find((task) => task.state === "WAITING"),
        { tone: "ask", heading: "It waits", sentence: job.reason ?? "Nothing of it can run at the moment." },
        false,
      );
    case "PENDING":
      return {
        tone: "idle",
        heading: "It has not begun",
        sentence: job.reason ?? "It waits for its turn.",
        questions: [],
      };
    case "CANCELLING":
      return {
        tone: "run",
        heading: "It is being cancelled",
        sentence: job.reason ?? "What runs is ended; tasks that run in any case still run.",
        questions: [],
      };
    case "CANCELLED":
      return {
        tone: "idle",
        heading: "It was cancelled",
        sentence: job.reason ?? "Somebody cancelled it.",
        questions: [],
      };
    case "SKIPPED":
      return {
        tone: "idle",
        heading: "It was skipped",
        sentence: job.reason ?? "Its condition said so.",
        questions: [],
      };
    case "COMPLETED":
      return {
        tone: "ok",
        heading: "It is completed",
        sentence: summary(job) ?? "Every path reached its end.",
        questions: [],
      };
    default: {
      const runs = job.tasks.filter((task) => task.state === "RUNNING" || task.state === "LEASED");
      const ready = job.tasks.filter((task) => task.state === "READY");
      const first = runs[0] ?? ready[0];
      return {
        tone: "run",
        heading: job.started_at == null && runs.length === 0 ? "It is in the queue" : "It is running",
        sentence:
          runs.length > 0
            ? `${names(runs)} ${runs.length === 1 ? "runs" : "run"} now.`
            : ready.length > 0
              ? queued(job, ready)
              : "What comes next is being decided.",
        task: first?.task_type,
        questions: [],
      };
    }
  }
}

/** What those wait for that are ready: the server says it of each, and the first one is told. */
function queued(job: Job, ready: Task[]): string {
  const [first] = ready;
  const reason = first && (waitsFor(first) ?? job.reason);
  if (first === undefined || reason == null)
    return `${names(ready)} ${ready.length === 1 ? "waits" : "wait"} for an ant.`;
  const all = ready.length === 1 ? "" : `${names(ready)} are ready. `;
  return `${all}${first.task_type}${reason.startsWith("waits") ? "" : ":"} ${reason.replace(/\.$/, "")}.`;
}

/** What the page shows first: where somebody is needed, or where something happens. */
export function firstTask(job: Job): string | undefined {
  const said = explain(job).task;
  if (said !== undefined) return said;
  const started = job.tasks.filter((task) => task.attempts > 0);
  const worked = started.filter((task) => !(task.attempt_list ?? []).some((each) => each.agent != null));
  return (started.filter((task) => !worked.includes(task)).at(-1) ?? started.at(-1) ?? job.tasks[0])?.task_type;
}

function at(
  task: Task | undefined,
  given: Omit<Explanation, "questions" | "task" | "attempt">,
  ended = true,
): Explanation {
  if (task === undefined) return { ...given, questions: [] };
  const latest = task.attempt_list?.at(-1);
  const message = task.error?.message ?? latest?.reason;
  const same = message != null && given.sentence.includes(message);
  const how =
    message ??
    (task.exit_code != null
      ? `it exited with code ${task.exit_code}`
      : task.result != null
        ? `it ended as ${task.result}`
        : undefined);
  const word = task.error?.code && task.error.code !== "EXIT_CODE" ? ` (${task.error.code})` : "";
  const sentence =
    given.sentence.includes(task.task_type) || same || how === undefined
      ? given.sentence
      : ended
        ? `The task ${task.task_type} stopped it${word}: ${how}`
        : given.sentence;
  return {
    ...given,
    sentence,
    code: given.code ?? task.error?.code,
    task: task.task_type,
    attempt: latest?.number,
    questions: questionsOf(task),
  };
}

/** The task whose route blocked the job: the last that did. */
function blocking(job: Job): Task | undefined {
  const byRoute = job.tasks.filter((task) => targetsOf(task.route).includes("END_BLOCKED"));
  return latest(byRoute) ?? failing(job);
}

function pausing(job: Job): Task | undefined {
  return latest(job.tasks.filter((task) => targetsOf(task.route).includes("PAUSE_JOB")));
}

/** The task that caused the failure: its code is that of the job, or its failure led nowhere. */
function failing(job: Job): Task | undefined {
  const failed = job.tasks.filter((task) => task.state === "FAILED");
  const code = job.error?.code;
  const ended = (task: Task) =>
    targetsOf(task.route).some((word) => /^(END_FAILED|FATAL|ERR_|FAILED)/.test(word)) || task.route == null;
  return (
    failed.find((task) => code !== undefined && (task.error?.code === code || targetsOf(task.route).includes(code))) ??
    latest(failed.filter(ended)) ??
    latest(failed)
  );
}

const latest = (tasks: Task[]) =>
  tasks.reduce<Task | undefined>(
    (best, task) => (best === undefined || (task.finished_at ?? "") >= (best.finished_at ?? "") ? task : best),
    undefined,
  );

/** What the agent of the task asks, or what it says is open. */
function questionsOf(task: Task): string[] {
  const verdict = task.attempt_list?.at(-1)?.agent?.verdict ?? task.outputs.verdict;
  if (typeof verdict !== "object" || verdict === null) return [];
  for (const key of ["questions", "findings", "unresolved"]) {
    const value = (verdict as Record<string, unknown>)[key];
    if (Array.isArray(value) && value.length > 0) return value.filter((each) => typeof each === "string");
  }
  return [];
}

/** What the last agent that changed something says it did. */
function summary(job: Job): string | undefined {
  for (const { attempt } of attemptsOf(job).reverse()) {
    const agent = attempt.agent;
    if (!agent || (agent.files_changed.length === 0 && agent.commits.length === 0)) continue;
    const verdict = agent.verdict;
    if (typeof verdict === "object" && verdict !== null && "summary" in verdict && typeof verdict.summary === "string")
      return verdict.summary;
  }
  return undefined;
}

function names(tasks: Task[]): string {
  const shown = tasks.slice(0, 3).map((task) => task.task_type);
  const more = tasks.length - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
