import { expect, test } from "vitest";
import type { Job, Task } from "./job";
import { overlayOf } from "./overlay";

const task = (name: string, more: Partial<Task> = {}) =>
  ({ task_type: name, state: "COMPLETED", visits: 1, attempts: 1, outputs: {}, ...more }) as Task;
const job = (tasks: Task[], children: NonNullable<Job["children"]> = []) =>
  ({ job_id: "job_1", state: "RUNNING", tasks, children }) as unknown as Job;
const child = (id: string, state: Job["state"], of = "fork") => ({
  job_id: id,
  job_type: "page",
  state,
  relation: "forked" as const,
  task: of,
});
const empty = { nodes: [], edges: [] };

test("items are one node with its counts, whatever they run", () => {
  const fan = task("build", { fan_out: { total: 5, counts: { COMPLETED: 2, FAILED: 1, RUNNING: 1, PENDING: 1 } } });
  const { statuses } = overlayOf(job([fan], [child("a", "COMPLETED", "build"), child("b", "FAILED", "build")]), empty);
  expect(statuses.get("build")?.counts).toEqual({ total: 5, done: 2, failed: 1, running: 1 });
});

test("a task that made several jobs has their counts, and one that made one has its own state", () => {
  const made = [child("a", "COMPLETED"), child("b", "RUNNING"), child("c", "BLOCKED"), child("d", "COMPLETED", "one")];
  const { statuses } = overlayOf(job([task("fork"), task("one"), task("none")], made), empty);
  expect(statuses.get("fork")?.counts).toEqual({ total: 3, done: 1, failed: 1, running: 1, what: "jobs" });
  expect(statuses.get("one")?.counts).toBeUndefined();
  expect(statuses.get("none")?.counts).toBeUndefined();
});
