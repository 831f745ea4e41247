import { expect, test } from "vitest";
import type { Job, Task } from "./job";
import { overlayOf } from "./overlay";

const task = (name: string, more: Partial<Task> = {}) =>
  ({ task_type: name, state: "COMPLETED", visits: 1, attempts: 1, outputs: {}, ...more }) as Task;
const job = (tasks: Task[]) => ({ job_id: "job_1", state: "RUNNING", tasks }) as unknown as Job;
const empty = { nodes: [], edges: [] };

test("items are one node with its counts, whatever they run", () => {
  const fan = task("build", {
    fan_out: { total: 5, counts: { COMPLETED: 2, FAILED: 1, RUNNING: 1, PENDING: 1 } },
    forked: { total: 3, counts: { COMPLETED: 2, FAILED: 1 } },
  });
  const { statuses } = overlayOf(job([fan]), empty);
  expect(statuses.get("build")?.counts).toEqual({ total: 5, done: 2, failed: 1, running: 1 });
});

test("a task that made several jobs has their counts, and one that made one has its own state", () => {
  // More than stand with the job.
  const counts = { COMPLETED: 120, SKIPPED: 5, RUNNING: 10, WAITING: 5, BLOCKED: 6, FAILED: 3, CANCELLED: 1 };
  const fork = task("fork", { forked: { total: 150, counts } });
  const one = task("one", { forked: { total: 1, counts: { COMPLETED: 1 } } });
  const { statuses } = overlayOf(job([fork, one, task("none")]), empty);
  expect(statuses.get("fork")?.counts).toEqual({ total: 150, done: 125, failed: 10, running: 15, what: "jobs" });
  expect(statuses.get("one")?.counts).toBeUndefined();
  expect(statuses.get("none")?.counts).toBeUndefined();
});

test("what is ready or waits says why", () => {
  const waiting = (name: string, state: "READY" | "WAITING", reason: string) =>
    task(name, {
      state,
      attempt_list: [{ number: 1, state, reason, routed_from: [], job_attempt: 1, visit: 1 }] as never,
    });
  const tasks = [
    waiting("a", "READY", "waits for an ant: none is connected"),
    waiting("b", "WAITING", "waits for a vote"),
  ];
  const { statuses } = overlayOf(job(tasks), empty);
  expect(statuses.get("a")?.detail).toBe("waits for an ant: none is connected");
  expect(statuses.get("b")?.detail).toBe("waits for a vote");
  expect(statuses.get("b")?.state).toBe("WAITING");
});
