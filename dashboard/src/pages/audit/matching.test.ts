import { expect, test } from "vitest";
import { matching, valuesOf } from "./matching";

const entry = (sequence: number, user: string, target: string, detail?: string) => ({
  sequence,
  user,
  status: 200,
  target,
  ...(detail && { detail }),
  at: "2026-01-01T00:00:00Z",
  token: `${user}-laptop`,
  action: "cancel_job",
  request_id: "abc",
});
const entries = [entry(2, "bob", "/api/v1/jobs/J2", "ls -l"), entry(1, "ann", "/api/v1/jobs/j1")];
const none = { user: "", action: "", text: "" };

test("entries are found by who and a part of what they are about, or of what was typed", () => {
  expect(matching(entries, none)).toHaveLength(2);
  expect(matching(entries, { ...none, user: "ann" }).map((each) => each.sequence)).toEqual([1]);
  expect(matching(entries, { ...none, text: "LS -" }).map((each) => each.sequence)).toEqual([2]);
  expect(matching(entries, { ...none, text: "j2" }).map((each) => each.sequence)).toEqual([2]);
});

test("what is chosen can be chosen although no entry has it", () => {
  expect(valuesOf(entries, "user", "zoe")).toEqual(["ann", "bob", "zoe"]);
});
