import { expect, test } from "vitest";
import { matching, valuesOf } from "./matching";

const entry = (sequence: number, user: string, status: number, target: string) => ({
  sequence,
  user,
  status,
  target,
  at: "2026-01-01T00:00:00Z",
  token: `${user}-laptop`,
  action: "cancel_job",
  request_id: "abc",
});
const entries = [entry(2, "bob", 403, "/api/v1/jobs/J2"), entry(1, "ann", 202, "/api/v1/jobs/j1")];
const none = { user: "", action: "", result: "", text: "" };

test("entries are found by who, result and a part of what they are about", () => {
  expect(matching(entries, none)).toHaveLength(2);
  expect(matching(entries, { ...none, user: "ann" }).map((each) => each.sequence)).toEqual([1]);
  expect(matching(entries, { ...none, result: "refused" }).map((each) => each.sequence)).toEqual([2]);
  expect(matching(entries, { ...none, text: "j2" }).map((each) => each.sequence)).toEqual([2]);
});

test("what is chosen can be chosen although no entry has it", () => {
  expect(valuesOf(entries, "user", "zoe")).toEqual(["ann", "bob", "zoe"]);
});
