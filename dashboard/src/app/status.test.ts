import { expect, test } from "vitest";
import { endOf, favicon, noteOfEnded, noteOfNeeds, prefix } from "./status";

test("the tab says what is most urgent first, and nothing when all is quiet", () => {
  expect(prefix({ running: 0, needs: 0, failed: 0 })).toBe("");
  expect(prefix({ running: 3, needs: 1, failed: 2 })).toBe("1 needs you, 2 failed, ▶ 3");
  expect(favicon({ running: 3, needs: 1, failed: 2 })).toBe("/favicon-ask.svg");
  expect(favicon({ running: 3, needs: 0, failed: 2 })).toBe("/favicon-bad.svg");
  expect(favicon({ running: 3, needs: 0, failed: 0 })).toBe("/favicon-run.svg");
});

test("many jobs that end in a moment are one notification", () => {
  const job = (id: string, state: "COMPLETED" | "FAILED") => ({ id, name: "check", state });
  expect(noteOfEnded([])).toBeUndefined();
  expect(noteOfEnded([job("a", "FAILED")])).toEqual({ title: "check failed", body: "", to: "/jobs/a" });
  expect(noteOfEnded([job("a", "FAILED"), job("b", "COMPLETED"), job("c", "COMPLETED")])).toEqual({
    title: "3 jobs ended",
    body: "1 failed, 2 completed",
    to: "/jobs",
  });
  expect(noteOfNeeds(["Publish?"])?.body).toBe("Publish?");
});

test("only events of jobs that end are ends", () => {
  expect(endOf({ kind: "job_changed", data: { from: "RUNNING", to: "FAILED" } })).toBe("FAILED");
  expect(endOf({ kind: "job_changed", data: { from: "PENDING", to: "RUNNING" } })).toBeUndefined();
  expect(endOf({ kind: "task_changed", data: { to: "FAILED" } })).toBeUndefined();
  expect(endOf({ kind: "job_changed", data: null })).toBeUndefined();
});
