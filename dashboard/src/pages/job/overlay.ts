import type { NodeStatus, Overlay } from "../../graph";
import { endState, targetsOf } from "../../graph/ends";
import { edgeKey, type GraphModel } from "../../graph/model";
import { duration } from "../../ui/time";
import { type Job, type Task, waitsFor } from "./job";

/** How the tasks of a job stand, and which ways were taken to them. */
export function overlayOf(job: Job, graph: GraphModel): Overlay {
  const statuses = new Map<string, NodeStatus>();
  const taken = new Map<string, number>();
  const add = (from: string, to: string) => taken.set(edgeKey(from, to), (taken.get(edgeKey(from, to)) ?? 0) + 1);
  const tasks = new Map(job.tasks.map((task) => [task.task_type, task]));
  for (const task of job.tasks) {
    statuses.set(task.task_type, statusOf(task));
    const seen = new Set<string>();
    for (const attempt of task.attempt_list ?? [])
      for (const from of attempt.routed_from) {
        const visit = `${attempt.job_attempt} ${attempt.visit} ${from.task}`;
        if (seen.has(visit)) continue;
        seen.add(visit);
        add(from.task, task.task_type);
      }
    for (const word of targetsOf(task.route)) {
      const state = endState(word);
      if (state === undefined || tasks.has(word)) continue;
      statuses.set(word, { state, visits: 1 });
      add(task.task_type, word);
    }
  }
  for (const edge of graph.edges) {
    if (edge.kind !== "dependency" && edge.kind !== "weak") continue;
    const [from, to] = [tasks.get(edge.from), tasks.get(edge.to)];
    if (from?.state === "COMPLETED" && to?.started_at != null && !taken.has(edgeKey(edge.from, edge.to)))
      add(edge.from, edge.to);
  }
  return { statuses, taken };
}

function statusOf(task: Task): NodeStatus {
  const status: NodeStatus = { state: task.state, visits: task.visits, detail: detailOf(task) };
  if (task.fan_out) {
    const { counts, total } = task.fan_out;
    status.counts = {
      total,
      done: counts.COMPLETED ?? 0,
      failed: (counts.FAILED ?? 0) + (counts.CANCELLED ?? 0),
      running: (counts.RUNNING ?? 0) + (counts.LEASED ?? 0) + (counts.READY ?? 0) + (counts.WAITING ?? 0),
    };
  } else if (task.forked && task.forked.total > 1) {
    const { counts, total } = task.forked;
    const done = (counts.COMPLETED ?? 0) + (counts.SKIPPED ?? 0);
    const failed = (counts.FAILED ?? 0) + (counts.BLOCKED ?? 0) + (counts.CANCELLED ?? 0);
    status.counts = { total, done, failed, running: total - done - failed, what: "jobs" };
  }
  return status;
}

const skips = {
  when: "its condition is false",
  upstream_failed: "what it needs failed",
  not_reached: "nothing led here",
};

function detailOf(task: Task): string | undefined {
  if (task.state === "SKIPPED") return task.skip_reason ? skips[task.skip_reason] : undefined;
  if (task.state === "PENDING") return undefined;
  const parts: string[] = [];
  const waits = waitsFor(task);
  if (waits !== undefined) parts.push(waits);
  else if (task.result != null && task.result !== "COMPLETED" && task.result !== "FAILED") parts.push(task.result);
  else if (task.exit_code != null && task.exit_code !== 0) parts.push(`exit code ${task.exit_code}`);
  if (task.adopted_from) parts.push("taken over");
  else if (task.started_at && task.finished_at)
    parts.push(duration(new Date(task.finished_at).getTime() - new Date(task.started_at).getTime()));
  return parts.length > 0 ? parts.join(" · ") : undefined;
}
