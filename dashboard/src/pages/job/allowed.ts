import { isOpen, isOver, type Job, type Task } from "./job";

export type ActionName = "cancel" | "pause" | "resume" | "retry" | "rerun" | "resubmit";

/** What can be done with a job in its state; the most likely first. */
export function allowedActions(job: Job): ActionName[] {
  switch (job.state) {
    case "PENDING":
      return ["cancel"];
    case "RUNNING":
    case "WAITING":
      return ["pause", "cancel"];
    case "PAUSED":
      return ["resume", "cancel"];
    case "CANCELLING":
      return ["cancel"];
    case "FAILED":
    case "BLOCKED":
      return ["retry", "rerun", "resubmit"];
    case "CANCELLED":
      return job.started_at == null ? ["resubmit"] : ["retry", "rerun", "resubmit"];
    case "COMPLETED":
      return ["resubmit", "rerun"];
    case "SKIPPED":
      return ["resubmit"];
  }
}

/** What an action does to this job, sentence by sentence. */
export function consequences(action: ActionName, job: Job, from?: string): string[] {
  const agents = job.tasks.some((task) => (task.attempt_list ?? []).some((attempt) => attempt.agent != null));
  const again = agents ? ["Agents that run again cost money again."] : [];
  switch (action) {
    case "cancel": {
      if (job.state === "CANCELLING")
        return [
          "Tasks that run in any case, such as cleaning up, are stopped too: what they would have put in order stays.",
        ];
      const runs = job.tasks.filter((task) => task.state === "RUNNING" || task.state === "LEASED");
      return [
        runs.length > 0
          ? `${list(runs)} ${runs.length === 1 ? "is" : "are"} ended at once, agents included; what they have used is paid for.`
          : "Nothing of it runs at the moment.",
        "What has not begun does not begin. Tasks that run in any case, such as cleaning up, still run.",
        "The job ends as cancelled. It can be tried again later, and keeps what is completed.",
      ];
    }
    case "pause": {
      const runs = job.tasks.filter((task) => task.state === "RUNNING" || task.state === "LEASED");
      return [
        runs.length > 0
          ? `${list(runs)} ${runs.length === 1 ? "goes" : "go"} on to the end.`
          : "Nothing of it runs now.",
        "Nothing new starts until somebody resumes the job. Its time limit does not run meanwhile.",
      ];
    }
    case "resume":
      return [
        "It goes on where it was paused: what is completed stays, and what was to run next runs now.",
        ...(agents ? ["Agents go on in their sessions."] : []),
      ];
    case "retry": {
      const kept = job.tasks.filter((task) => task.state === "COMPLETED");
      const anew = job.tasks.filter((task) => task.state === "FAILED" || task.state === "CANCELLED");
      return [
        `The same job begins its attempt ${job.attempt + 1}.`,
        anew.length > 0
          ? `${list(anew)} ${anew.length === 1 ? "runs" : "run"} again, and what follows.`
          : "What was not reached runs.",
        kept.length > 0
          ? `${kept.length} completed ${kept.length === 1 ? "task is" : "tasks are"} kept with outputs and files; tasks that run in any case run once more.`
          : "Nothing was completed that could be kept.",
        ...again,
      ];
    }
    case "rerun":
      return [
        from === undefined
          ? "Choose the task from which it runs again."
          : `${from} runs again, and everything that follows from it.`,
        "What was completed before it is kept, with outputs and files.",
        "It stays the same job, unless parameters or the version are changed: then it is a new one.",
        ...again,
      ];
    case "resubmit":
      return [
        "A new job begins from the start with these parameters; it takes nothing over from this one.",
        "This job stays as it is.",
        ...again,
      ];
  }
}

/** From where a job can run again: what has run. */
export const startingPoints = (job: Job): Task[] =>
  isOver(job.state) ? job.tasks.filter((task) => task.attempts > 0 && !isOpen(task)) : [];

function list(tasks: Task[]): string {
  const shown = tasks.slice(0, 4).map((task) => task.task_type);
  const more = tasks.length - shown.length;
  const last = more > 0 ? `${more} more` : shown.pop();
  return shown.length > 0 ? `${shown.join(", ")} and ${last}` : (last ?? "");
}

/** Params that somebody has changed, by their names. Texts stay texts; anything else has to be JSON. */
export function changedParams(
  before: Record<string, unknown>,
  texts: Record<string, string>,
): { params: Record<string, unknown>; wrong: string[] } {
  const params: Record<string, unknown> = {};
  const wrong: string[] = [];
  for (const [name, written] of Object.entries(texts)) {
    const was = before[name];
    if (written === asText(was)) continue;
    if (typeof was === "string") params[name] = written;
    else
      try {
        params[name] = JSON.parse(written);
      } catch {
        wrong.push(name);
      }
  }
  return { params, wrong };
}

export const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
