import { expect, test } from "vitest";
import type { Api } from "../api/client";
import { consequences, isBudget, needs, pullsThatWait, queueReason, split, suggested, whyBlocked } from "./inbox";

let number = 0;
function job(more: Partial<Api<"JobSummary">>): Api<"JobSummary"> {
  number++;
  return {
    job_id: `job_${number}`,
    job_type: "check",
    version: "v",
    state: "RUNNING",
    priority: "NORMAL",
    attempt: 1,
    submitted_by: "cli",
    created_at: "2026-01-01T00:00:00Z",
    ...more,
  } as Api<"JobSummary">;
}

const approval = (more: Partial<Api<"ApprovalResource">>): Api<"ApprovalResource"> => ({
  approval_id: "apr_1",
  job_id: "job_0",
  job_type: "release",
  task: "ask",
  attempt: 1,
  state: "OPEN",
  min_approvals: 1,
  users: [],
  roles: [],
  unanimous: false,
  created_at: "2026-01-01T00:00:00Z",
  votes: [],
  ...more,
});

test("questions come before money, pauses and blocked jobs", () => {
  const money = job({ state: "PAUSED", reason: "BUDGET: 4.00 of 3.00 USD are used" });
  const pause = job({ state: "PAUSED", reason: 'task "ask" paused the job' });
  const blocked = job({ state: "BLOCKED" });
  const seen = job({ state: "BLOCKED" });
  const all = needs([approval({})], [job({}), pause, money], [blocked, seen], new Set([`${seen.job_id}/1`]));
  expect(all.map((each) => each.kind)).toEqual(["approval", "budget", "paused", "blocked"]);
  expect(isBudget(money)).toBe(true);
});

test("pull requests are found in the descriptions of jobs that have begun", () => {
  const description = "[#7](https://github.com/a/b/issues/7) [PR](https://github.com/a/b/pull/8)";
  const found = pullsThatWait([
    job({ state: "WAITING", started_at: "x", description }),
    job({ state: "RUNNING", description }),
    job({ state: "PAUSED", started_at: "x", description }),
    job({ state: "WAITING", started_at: "x", description: "[issue](https://github.com/a/b/issues/7)" }),
  ]);
  expect(found.map((each) => each.name)).toEqual(["a/b#8"]);
});

test("a blocked job tells in an agent's words why, and asks its questions", () => {
  const task = { task_type: "plan", route: "END_BLOCKED", state: "FAILED", exit_code: 2 };
  const verdict = { summary: "The issue contradicts itself.", questions: ["A or B?", 7] };
  const agent = { ...task, error: { code: "BLOCKED", message: "no" }, outputs: { verdict } };
  expect(whyBlocked({ tasks: [agent as unknown as Api<"TaskResource">] })).toEqual({
    sentence: "plan: The issue contradicts itself.",
    questions: ["A or B?"],
  });
  const script = { ...task, error: { code: "EXIT_CODE", message: "exited with code 2" }, outputs: {} };
  expect(whyBlocked({ tasks: [script as unknown as Api<"TaskResource">] }).sentence).toBe(
    "plan ended with exit code 2, which blocks the job.",
  );
});

test("a vote says beforehand what it does", () => {
  expect(consequences(approval({})).approve).toBe("Approve: this decides it, and the job goes on at once.");
  expect(consequences(approval({ min_approvals: 3 })).approve).toBe("Approve: vote 1 of 3; 2 more are needed.");
  expect(consequences(approval({ unanimous: true, users: ["a", "b"] })).approve).toContain("1 more is needed");
});

test("jobs that have not begun are the queue, the next one first", () => {
  const late = job({ state: "PENDING", reason: "waits for max_concurrency 1" });
  const early = job({ state: "RUNNING", started_at: null });
  const { running, waiting, queued } = split([late, early, job({ started_at: "x" }), job({ state: "WAITING" })]);
  expect([running.length, waiting.length]).toEqual([1, 1]);
  expect(queued).toEqual([early, late]);
  expect(queueReason(early)).toBe("is about to start");
  expect(queueReason(late)).toBe("waits for max_concurrency 1");
});

test("a larger budget is suggested in round numbers, above what is used", () => {
  expect(suggested(3, 4)).toBe(6);
  expect(suggested(0.5, 0.2)).toBe(0.75);
  expect(suggested(100_000, 120_000)).toBe(180_000);
});
