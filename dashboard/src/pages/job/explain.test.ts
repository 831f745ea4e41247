import { expect, test } from "vitest";
import { drawDefinition } from "../../graph/definition";
import { edgeKey } from "../../graph/model";
import { explain, firstTask } from "./explain";
import { type Attempt, childCount, firstTold, type Job, merged, readSearch, type Task, withLines } from "./job";
import { overlayOf } from "./overlay";
import { marks, timelineOf } from "./timeline";

const attempt = (number: number, more: Partial<Attempt> = {}): Attempt => ({
  number,
  job_attempt: 1,
  visit: 1,
  task_attempt: 1,
  state: "FINISHED",
  routed_from: [],
  created_at: `2026-01-01T00:00:0${number}Z`,
  started_at: `2026-01-01T00:00:0${number}.500Z`,
  finished_at: `2026-01-01T00:00:0${number + 1}Z`,
  outputs: {},
  artifacts: [],
  warnings: [],
  log_bytes: 0,
  ...more,
});

const task = (task_type: string, more: Partial<Task> = {}): Task => ({
  task_type,
  state: "COMPLETED",
  visits: 1,
  attempts: 1,
  outputs: {},
  artifacts: [],
  attempt_list: [attempt(1)],
  ...more,
});

const job = (state: Job["state"], tasks: Task[], more: Partial<Job> = {}): Job => ({
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
  ...more,
});

test("a blocked job names the task that blocked it, and what its agent asks", () => {
  const plan = task("plan", {
    state: "FAILED",
    result: "BLOCKED",
    exit_code: 2,
    error: { code: "BLOCKED", message: "The issue contradicts itself." },
    route: "END_BLOCKED",
    outputs: { verdict: { status: "blocked", questions: ["This or that?"] } },
    attempt_list: [attempt(2)],
  });
  const said = explain(job("BLOCKED", [task("setup"), plan]));
  expect(said.sentence).toBe("The task plan stopped it (BLOCKED): The issue contradicts itself.");
  expect(said).toMatchObject({ task: "plan", attempt: 2, questions: ["This or that?"], tone: "ask" });
});

test("a failed job names the task whose code it has", () => {
  const failed = task("b", { state: "FAILED", error: { code: "ERR_B", message: "b is bad" }, route: "ERR_B" });
  const other = task("a", { state: "FAILED", error: { code: "ERR_A", message: "a is bad" }, route: "ERR_A" });
  const error = { code: "ERR_B", message: "b is bad" };
  expect(explain(job("FAILED", [other, failed], { error }))).toMatchObject({ task: "b", sentence: "b is bad" });
  expect(explain(job("FAILED", [], { reason: "the job took longer than 5 s" })).sentence).toContain("longer than 5 s");
});

test("what runs is named, and what is worth looking at is chosen", () => {
  const running = job("RUNNING", [task("a"), ...["b", "c", "d", "e"].map((name) => task(name, { state: "RUNNING" }))]);
  expect(explain(running).sentence).toBe("b, c, d and 1 more run now.");
  expect(firstTask(running)).toBe("b");
  expect(firstTask(job("COMPLETED", [task("a"), task("b"), task("c", { attempts: 0 })]))).toBe("b");
  expect(firstTask(job("PENDING", []))).toBeUndefined();
});

test("what is in the queue says what it waits for, in the server's words", () => {
  const ready = (name: string, reason?: string) =>
    task(name, { state: "READY", attempt_list: [attempt(1, { state: "READY", ...(reason && { reason }) })] });
  const none = "waits for an ant: none is connected";
  const first = explain(job("RUNNING", [ready("a", none)]));
  expect(first).toMatchObject({ heading: "It is in the queue", sentence: "a waits for an ant: none is connected." });
  const later = job("RUNNING", [task("a"), ready("b", "waits for the budget of the job: 2 of 2 USD")], {
    started_at: "2026-01-01T00:00:00Z",
  });
  expect(explain(later)).toMatchObject({
    heading: "It is running",
    sentence: "b waits for the budget of the job: 2 of 2 USD.",
    task: "b",
  });
  // What runs is told first, and a reason that is a sentence of its own is none of the task's.
  const both = job("RUNNING", [ready("a", none), task("b", { state: "RUNNING" })]);
  expect(explain(both)).toMatchObject({ heading: "It is running", sentence: "b runs now." });
  const said = "the only account has met its limit.";
  expect(explain(job("RUNNING", [ready("a")], { reason: said })).sentence).toBe(`a: ${said}`);
  expect(explain(job("RUNNING", [ready("a")])).sentence).toBe("a waits for an ant.");
  // Of several the first one's reason is told.
  expect(explain(job("RUNNING", [ready("a", none), ready("b")])).sentence).toBe(`a, b are ready. a ${none}.`);
  expect(explain(job("RUNNING", [ready("a"), ready("b")])).sentence).toBe("a, b wait for an ant.");
  // The item that waits, not the one that ended last.
  const items = task("a", {
    state: "READY",
    attempt_list: [attempt(1, { state: "READY", reason: "waits: enough" }), attempt(2)],
  });
  expect(explain(job("RUNNING", [items])).sentence).toBe("a waits: enough.");
});

test("attempts that come with the job are the newest that is known of them, among those that were fetched", () => {
  const fetched = [attempt(3, { state: "RUNNING" }), attempt(2), attempt(1)];
  const all = merged([attempt(3), attempt(4)], fetched);
  expect(all.map(({ number, state }) => [number, state])).toEqual([
    [1, "FINISHED"],
    [2, "FINISHED"],
    [3, "FINISHED"],
    [4, "FINISHED"],
  ]);
});

test("children are counted that do not stand with their job, and those that no task made", () => {
  const child = (id: string, task?: string) => ({
    job_id: id,
    job_type: "page",
    state: "COMPLETED" as const,
    relation: "forked" as const,
    ...(task && { task }),
  });
  const children = [child("a", "fork"), child("b", "fork"), child("c")];
  const counts = { COMPLETED: 150 };
  expect(childCount(job("COMPLETED", [task("fork", { forked: { total: 150, counts } })], { children }))).toBe(151);
  expect(childCount(job("COMPLETED", [task("fork")], { children }))).toBe(3);
  expect(childCount(job("COMPLETED", [task("fork")]))).toBe(0);
});

test("where a job works is said by the first attempt of its latest job attempt that an ant had", () => {
  const attempts = [
    attempt(1, { ant: "a" }),
    attempt(2, { job_attempt: 2 }),
    attempt(3, { job_attempt: 2, ant: "a" }),
    attempt(4, { job_attempt: 2, ant: "b" }),
    attempt(5, { job_attempt: 3 }),
  ];
  expect(firstTold(job("RUNNING", [task("a", { attempt_list: attempts })]))).toBe(3);
  expect(firstTold(job("RUNNING", [task("a")]))).toBeUndefined();
});

test("routes that were taken are counted by visit, and ends are reached", () => {
  const { graph } = drawDefinition(
    "tasks:\n- {task_type: a, on_completed: b}\n- {task_type: b, max_visits: 3, on_completed: a, on_failed: END_BLOCKED}\n- {task_type: c, dependencies: [a]}",
  );
  const from = (visit: number) => [{ task: "a", visit, result: "COMPLETED" }];
  const visits = [attempt(2, { routed_from: from(1) }), attempt(3, { routed_from: from(1), task_attempt: 2 })];
  const b = task("b", {
    state: "FAILED",
    visits: 2,
    route: "END_BLOCKED",
    attempt_list: [...visits, attempt(4, { visit: 2, routed_from: from(2) })],
  });
  const { statuses, taken } = overlayOf(job("BLOCKED", [task("a"), b, task("c", { state: "SKIPPED" })]), graph);
  expect(taken.get(edgeKey("a", "b"))).toBe(2);
  expect(taken.get(edgeKey("b", "END_BLOCKED"))).toBe(1);
  expect(taken.has(edgeKey("a", "c"))).toBe(false);
  expect(statuses.get("END_BLOCKED")?.state).toBe("BLOCKED");
});

test("a timeline begins with the first attempt and has round marks", () => {
  const line = timelineOf(job("COMPLETED", [task("b", { attempt_list: [attempt(3)] }), task("a")]));
  expect(line.bars.map((bar) => bar.task)).toEqual(["a", "b"]);
  expect(line.until - line.from).toBe(4000);
  expect(marks(4000, 5)).toEqual([0, 1000, 2000, 3000, 4000]);
  expect(marks(0, 5)).toEqual([0]);
});

test("an address that makes no sense is an address without it", () => {
  expect(readSearch({ task: "a", attempt: "3", view: "timeline", tab: "nonsense", compare: -1, file: 5 })).toEqual({
    task: "a",
    attempt: 3,
    view: "timeline",
  });
});

test("an address that names lines of an attempt leads to it, also when there are later ones", () => {
  const here = job("COMPLETED", [
    task("plan", { attempt_list: [attempt(1), attempt(3)] }),
    task("build", { attempt_list: [attempt(2), attempt(4)] }),
  ]);
  const lines = { task: "plan", attempt: 1, tab: "log" };
  expect(withLines({}, "log1-L120", here)).toEqual(lines);
  expect(withLines({ task: "plan" }, "log1-L120-L140", here)).toEqual(lines);
  expect(withLines({ tab: "outputs" }, "log2-L1", here)).toEqual({ task: "build", attempt: 2, tab: "outputs" });
  // One that is older than those that came with the job.
  expect(withLines({ task: "plan" }, "log9-L1", here)).toEqual({ task: "plan", attempt: 9, tab: "log" });
  expect(withLines({}, "log9-L1", here)).toEqual({});
  // What the address says itself counts.
  expect(withLines({ task: "build" }, "log1-L120", here)).toEqual({ task: "build" });
  expect(withLines({ task: "plan", attempt: 3 }, "log1-L120", here)).toEqual({ task: "plan", attempt: 3 });
  expect(withLines({}, "", here)).toEqual({});
});
