import { expect, test } from "vitest";
import { allowedActions, changedParams, consequences } from "./allowed";
import type { Job, Task } from "./job";

const task = (task_type: string, state: Task["state"]): Task => ({
  task_type,
  state,
  visits: 1,
  attempts: 1,
  outputs: {},
  artifacts: [],
});
const job = (state: Job["state"], tasks: Task[] = []): Job => ({
  job_id: "job_1",
  job_type: "x",
  version: "v",
  state,
  priority: "NORMAL",
  attempt: 1,
  submitted_by: "cli",
  created_at: "2026-01-01T00:00:00Z",
  params: {},
  tasks,
});

test("only what the state allows is offered", () => {
  expect(allowedActions(job("RUNNING"))).toEqual(["pause", "cancel"]);
  expect(allowedActions(job("PAUSED"))).toEqual(["resume", "cancel"]);
  expect(allowedActions(job("BLOCKED"))[0]).toBe("retry");
  expect(allowedActions(job("CANCELLED"))).toEqual(["resubmit"]);
  expect(allowedActions(job("COMPLETED"))).not.toContain("retry");
});

test("consequences name the tasks", () => {
  const tasks = [task("a", "COMPLETED"), task("b", "FAILED"), task("c", "RUNNING"), task("d", "RUNNING")];
  expect(consequences("retry", job("FAILED", tasks)).join(" ")).toContain(
    "b runs again, and what follows. 1 completed task is kept",
  );
  expect(consequences("cancel", job("RUNNING", tasks))[0]).toContain("c and d are ended at once");
});

test("only params that were changed are sent, and what is no JSON is named", () => {
  const before = { name: "x", issue: 3, on: true };
  expect(changedParams(before, { name: "x", issue: "3", on: "true" })).toEqual({ params: {}, wrong: [] });
  expect(changedParams(before, { name: "7", issue: "4", on: "ja" })).toEqual({
    params: { name: "7", issue: 4 },
    wrong: ["on"],
  });
});
