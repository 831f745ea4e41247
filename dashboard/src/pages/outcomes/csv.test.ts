import { expect, test } from "vitest";
import type { Api } from "../../api/client";
import { csv } from "./csv";
import { atLeast, percent, sinceOf } from "./words";

const spread = { count: 0, median: null, mean: null };
const group = (key: string | null, more: Partial<Api<"OutcomeGroup">> = {}): Api<"OutcomeGroup"> => ({
  key,
  jobs: 1,
  in_progress: 0,
  pull_requests: 0,
  merged: 0,
  closed: 0,
  needs_human: 0,
  failed: 0,
  cancelled: 0,
  open: 0,
  completed: 1,
  attempts: 0,
  turns: 0,
  tokens: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
  tokens_unknown: 0,
  cost_usd: 0.5,
  cost_unknown: 0,
  cost_per_merged_usd: null,
  first_time_right: null,
  rework: spread,
  seconds_to_pull_request: spread,
  seconds_to_merge: spread,
  reasons: [],
  ...more,
});

test("a file of figures has a line for each group, and nothing where nothing is known", () => {
  const [head, first, rest] = csv("definition", { groups: [group('a "b", c')] }).split("\r\n");
  expect(head).toMatch(/^definition,jobs,/);
  expect(first).toMatch(/^"a ""b"", c",1,/);
  expect(first?.endsWith(",,,,,,")).toBe(true);
  expect(rest).toBe("");
});

test("a name is no formula for the program that opens the file", () => {
  expect(csv("repository", { groups: [group("=cmd|' /C calc'!A0")] })).toContain("'=cmd");
  expect(csv("repository", { groups: [group(null, { cost_usd: 1e-7 })] })).toContain(",1e-7,");
});

test("what is not known is never a number", () => {
  expect(percent(null)).toBe("–");
  expect(percent(0)).toBe("0 %");
  expect(atLeast("$1.00", 2)).toBe("≥ $1.00");
  expect(atLeast("–", 2)).toBe("–");
});

test("a time begins on a minute", () => {
  expect(sinceOf("24h", Date.parse("2026-01-02T03:04:05Z"))).toBe("2026-01-01T03:04:00.000Z");
  expect(sinceOf("all", 0)).toBeUndefined();
});
